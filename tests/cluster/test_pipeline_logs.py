"""The logs of a pipeline are those of its driver and of its steps, whose pods don't say which pipeline they are of."""

from typing import Any

import pytest

from datascaler.cluster.kube.api import Api
from datascaler.cluster.kube.api_paths import path_of
from datascaler.cluster.kube.names import INSTANCE, PIPELINE, RUN, VERB
from datascaler.cluster.watch.follow_logs import follow_logs
from datascaler.cluster.watch.logs import LogQuery, print_logs
from datascaler.cluster.watch.state import State
from tests.cluster.replay import Answer, Query, Replay, recorded_run

JOBS, PODS = path_of("Job", "ml"), path_of("Pod", "ml")

Found = dict[str, Any]


def as_part(recorded: str, name: str, verb: str, number: int) -> Found:
    """A recorded run as the pipeline's driver (number 0) or a step."""
    found = recorded_run(recorded)
    run = found["run"]
    run["metadata"] |= {"name": name, "creationTimestamp": f"2026-01-01T00:00:0{number}Z"}
    run["metadata"]["labels"] |= {VERB: verb} | ({PIPELINE: "p"} if number else {})
    for each in (run, *found["pods"]):
        each["metadata"]["labels"] |= {INSTANCE: name, RUN: name}
    return found


def names_of(found: Found) -> list[str]:
    return [pod["metadata"]["name"] for pod in found["pods"]]


def test_all_that_was_said_in_the_order_of_the_runs(server: Replay, api: Api) -> None:
    server.has_operator = True
    expected = []
    for number, (recorded, name, verb) in enumerate(
        [("running", "p", "pipeline"), ("complete", "p-score", "score"), ("workers-done", "p-train", "train")]
    ):
        found = as_part(recorded, name, verb, number)
        server.add(found["run"], *found["pods"])
        for pod in names_of(found):
            server.answer("GET", f"{PODS}/{pod}/log", 200, f"{name}\n")
            expected.append(f"[{pod}] {name}")
    lines: list[str] = []
    assert print_logs(api, "ml", "p", LogQuery(), lines.append) == (7, 7)
    assert lines == expected
    # A step alone is a run as any.
    lines.clear()
    assert print_logs(api, "ml", "p-train", LogQuery(index=1), lines.append) == (1, 1)
    assert lines == ["p-train"]


def test_steps_are_followed_as_they_come(server: Replay, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """The step is there once the driver has said so."""
    monkeypatch.setattr("datascaler.cluster.watch.follow_logs._PAUSE_SECONDS", 0.01)
    driver, step = as_part("running", "p", "pipeline", 0), as_part("complete", "p-score", "score", 1)
    del driver["pods"][1:], step["pods"][1:]
    server.add(driver["run"], *driver["pods"])
    [first], [second] = names_of(driver), names_of(step)

    def answer(_method: str, path: str, _query: Query, _body: Any) -> Answer | None:
        if path == f"{PODS}/{second}/log":
            # With its step the driver ends too.
            for each in server.objects[JOBS], server.objects[PODS]:
                each[0]["status"] = each[1]["status"]
            return 200, "2026-01-01T00:00:02Z 10 shards\n"
        if path != f"{PODS}/{first}/log":
            return None
        if len(server.objects[JOBS]) == 1:
            server.add(step["run"], *step["pods"])
        return 200, "2026-01-01T00:00:01Z submitted\n"

    server.answers.append(answer)
    lines: list[str] = []
    states = follow_logs(api, "ml", "p", LogQuery(), lines.append, timeout=60)
    assert lines == [f"[{first}] submitted", f"[{second}] 10 shards"]
    assert [(each.name, each.state) for each in states] == [("p", State.SUCCEEDED), ("p-score", State.SUCCEEDED)]
