"""What pods have said so far, each under its name."""

import pytest

from datascaler.cluster.kube.api import Api
from datascaler.cluster.kube.api_paths import path_of
from datascaler.cluster.watch.logs import LogQuery, print_logs
from datascaler.errors import RunNotFoundError
from tests.cluster.replay import Replay, recorded_answer, recorded_run

PODS = path_of("Pod", "ml")
EVERYTHING = LogQuery()


def test_all_that_was_said_under_the_names_of_the_pods(server: Replay, api: Api) -> None:
    server.add_run("complete")
    names = [pod["metadata"]["name"] for pod in recorded_run("complete")["pods"]]
    for name in names:
        server.answer("GET", f"{PODS}/{name}/log", 200, f"{name} speaks\nagain\n")
    lines: list[str] = []
    assert print_logs(api, "ml", "complete", EVERYTHING, lines.append) == (3, 3)
    assert lines == [line for name in names for line in (f"[{name}] {name} speaks", f"[{name}] again")]


def test_the_flags_are_the_servers(server: Replay, api: Api) -> None:
    server.add_run("complete")
    server.answer("GET", f"{PODS}/*", *recorded_answer("log"))
    lines: list[str] = []
    query = LogQuery(index=1, since_seconds=60, tail=5, previous=True)
    assert print_logs(api, "ml", "complete", query, lines.append) == (1, 1)
    [(path, asked, _)] = [request for request in server.requests("GET") if request[0].endswith("/log")]
    assert path.startswith(f"{PODS}/complete-1-")
    assert asked == {"container": "datascaler", "sinceSeconds": "60", "tailLines": "5", "previous": "true"}
    # One pod needs no name.
    assert lines[0].endswith(" part 0")


@pytest.mark.parametrize("about", ["log of no previous container", "not found"])
def test_a_pod_that_has_said_nothing_yet(about: str, server: Replay, api: Api) -> None:
    server.add_run("running")
    server.answer("GET", f"{PODS}/running*", *recorded_answer(about))
    assert print_logs(api, "ml", "running", EVERYTHING, pytest.fail) == (2, 0)


def test_what_never_was_has_no_logs(api: Api) -> None:
    with pytest.raises(RunNotFoundError):
        print_logs(api, "ml", "other", EVERYTHING, pytest.fail)
