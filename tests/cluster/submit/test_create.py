"""Submitting: validated first, each run whole or not at all, and the same twice is once."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from datascaler.cluster.kube.api import Api
from datascaler.cluster.kube.api_paths import path_of
from datascaler.cluster.kube.chart_values import merged_values
from datascaler.cluster.submit.create import check_by_server, rehearse, send
from datascaler.cluster.submit.submission import Submission, describe_submission
from datascaler.errors import ClusterError, OtherRunError
from tests.cluster.replay import Answer, Query, Replay, recorded_answer

JOBS, SERVICES = path_of("Job", "ml"), path_of("Service", "ml")
SCORE: dict[str, Any] = {"kind": "score", "command": ["datascaler", "score", "--method", "clip"]}
TRAIN: dict[str, Any] = {"kind": "train", "command": ["datascaler", "train"], "train": {"backend": "job"}}

pytestmark = pytest.mark.usefixtures("real_helm")


def described(values: dict[str, Any], name: str = "run") -> Submission:
    return describe_submission(name, "ml", [values], "1.36.3")


def posts(server: Replay) -> list[tuple[str, bool]]:
    """(folder, whether it was a dry run) of each creation."""
    return [(path.rpartition("/")[2], query.get("dryRun") == "All") for path, query, _ in server.requests("POST")]


def refusing(kind: str, *, dry_run: bool) -> Any:
    def answer(method: str, path: str, query: Query, _body: Any) -> Answer | None:
        fits = method == "POST" and path.endswith(kind) and ("dryRun" in query) == dry_run
        return recorded_answer("unknown field") if fits else None

    return answer


def test_everything_is_validated_before_anything_is_created(server: Replay, api: Api) -> None:
    sent = send(api, described(TRAIN))
    assert sent.created == ["run"]
    assert (sent.present, sent.unqueued) == ([], [])
    assert posts(server) == [("jobs", True), ("services", True), ("jobs", False), ("services", False)]
    assert {query["fieldValidation"] for _, query, _ in server.requests("POST")} == {"Strict"}


def test_what_belongs_to_a_run_goes_with_it(server: Replay, api: Api) -> None:
    send(api, described(TRAIN))
    [job], [service] = server.objects[JOBS], server.objects[SERVICES]
    assert service["metadata"]["ownerReferences"] == [
        {"apiVersion": "batch/v1", "kind": "Job", "name": "run", "uid": job["metadata"]["uid"]}
    ]
    assert "ownerReferences" not in job["metadata"]


def test_a_refusal_of_the_dry_run_leaves_nothing(server: Replay, api: Api) -> None:
    server.answers.append(refusing("services", dry_run=True))
    with pytest.raises(ClusterError, match="strict decoding error"):
        send(api, described(TRAIN))
    assert server.objects == {}


def test_a_refusal_of_a_part_takes_back_the_run(server: Replay, api: Api) -> None:
    server.answers.append(refusing("services", dry_run=False))
    with pytest.raises(ClusterError, match="strict decoding error"):
        send(api, described(TRAIN))
    assert server.objects[JOBS] == []
    assert [path for path, _, _ in server.requests("DELETE")] == [f"{JOBS}/run"]


SWEEP: dict[str, Any] = TRAIN | {"runs": [{"name": f"s-{number}"} for number in range(20)]}


def test_a_failure_between_runs_says_how_many_there_are(server: Replay, api: Api) -> None:
    def answer(method: str, _path: str, query: Query, body: Any) -> Answer | None:
        fits = method == "POST" and "dryRun" not in query and body["metadata"]["name"] == "s-3-0"
        return recorded_answer("forbidden") if fits else None

    server.answers.append(answer)
    with pytest.raises(
        ClusterError, match=r"^(\d+) of 20 runs were created; the same submit goes on .* is forbidden"
    ) as e:
        send(api.impatient(), described(SWEEP, "s"))
    assert "\n" not in str(e.value)
    names = {job["metadata"]["name"] for job in server.objects[JOBS]}
    # Whole ones only, and as many as was said.
    assert int(str(e.value).split()[0]) == len(names) == len(server.objects[SERVICES])
    assert "s-3" not in names
    server.answers.remove(answer)
    assert len(send(api, described(SWEEP, "s")).created) == 20 - len(names)
    assert len(server.objects[JOBS]) == len(server.objects[SERVICES]) == 20


def test_a_service_that_is_gone_is_made_again(server: Replay, api: Api) -> None:
    send(api, described(SWEEP, "s"))
    jobs = {job["metadata"]["name"]: job for job in server.objects[JOBS]}
    services = server.objects[SERVICES]
    services[:] = [each for each in services if each["metadata"]["name"] not in ("s-4-0", "s-5-0")]
    # A run that has ended needs none.
    jobs["s-5"]["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}
    server.asked.clear()
    said: list[str] = []
    sent = send(api, described(SWEEP, "s"), said.append)
    assert (sent.created, len(sent.present)) == ([], 20)
    assert said == ["s-4: Service s-4-0 was gone, and is made again"]
    assert posts(server) == [("services", False)]
    uid = jobs["s-4"]["metadata"]["uid"]
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "s-4", "uid": uid}
    assert services[-1]["metadata"]["ownerReferences"] == [owner]


def test_what_must_be_done_before_is_done_once_all_is_valid(server: Replay, api: Api) -> None:
    asked: list[list[tuple[str, bool]]] = []
    send(api, described(SCORE), ready=lambda: asked.append(posts(server)))
    assert asked == [[("jobs", True)]]
    # Not if nothing is to be made, nor if the server refuses it.
    send(api, described(SCORE), ready=lambda: asked.append([]))
    server.answers.append(refusing("jobs", dry_run=True))
    with pytest.raises(ClusterError):
        send(api, described(SCORE, "other"), ready=lambda: asked.append([]))
    assert len(asked) == 1


def test_the_same_again_changes_nothing(server: Replay, api: Api) -> None:
    send(api, described(SCORE))
    server.asked.clear()
    sent = send(api, described(SCORE))
    assert sent.created == []
    assert [run["metadata"]["name"] for run in sent.present] == ["run"]
    assert server.requests("POST") == []


def test_another_spec_under_the_same_name_is_refused_with_the_difference(server: Replay, api: Api) -> None:
    send(api, described(SCORE))
    other = merged_values(
        SCORE, {"command": [*SCORE["command"], "--arch", "b32"], "gpu": {"count": 2}, "suspend": True}
    )
    with pytest.raises(ClusterError) as refused:
        send(api, described(other))
    assert str(refused.value).splitlines() == [
        "ml/run exists with another spec; give another --name, or `datascaler cancel ml/run` first:",
        "  command: datascaler score --method clip -> datascaler score --method clip --arch b32",
        '  gpu: (unset) -> {"count": 2}',
        "  suspend: (unset) -> true",
    ]
    assert len(server.objects[JOBS]) == 1


def test_a_run_that_somebody_else_made_is_left_alone(server: Replay, api: Api) -> None:
    send(api, described(SCORE))
    del server.objects[JOBS][0]["metadata"]["annotations"]
    with pytest.raises(
        ClusterError, match="ml/run exists, and was not made by `datascaler submit`; give another --name"
    ):
        send(api, described(SCORE))


def test_a_run_that_is_being_deleted_is_not_taken_for_a_running_one(server: Replay, api: Api) -> None:
    send(api, described(SCORE))
    server.objects[JOBS][0]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    with pytest.raises(ClusterError, match="ml/run is being deleted; try again when it is gone"):
        send(api, described(SCORE))


def test_a_sweep_goes_on_with_the_points_that_are_not_there(server: Replay, api: Api) -> None:
    sweep = {"kind": "train", "train": {"backend": "job"}, "command": ["datascaler", "train"]}
    runs = [{"name": f"s-{number}"} for number in range(5)]
    send(api, described(sweep | {"runs": runs[:2]}, "s"))
    said: list[str] = []
    sent = send(api, described(sweep | {"runs": runs}, "s"), said.append)
    assert sent.created == ["s-2", "s-3", "s-4"]
    assert sorted(run["metadata"]["name"] for run in sent.present) == ["s-0", "s-1"]
    assert len(server.objects[JOBS]) == len(server.objects[SERVICES]) == 5
    assert said == ["created 3 of 3"]


def test_a_queue_that_holds_nobody_is_noticed(server: Replay, api: Api) -> None:
    """Kueue's webhook suspends what it will hold, in a dry run too; here there is none."""
    queued = SCORE | {"queue": {"name": "team-a"}}
    assert send(api, described(queued)).unqueued == ["run"]

    def hold(method: str, _path: str, query: Query, body: Any) -> Answer | None:
        return (
            (201, merged_values(body, {"spec": {"suspend": True}})) if method == "POST" and "dryRun" in query else None
        )

    server.answers.append(hold)
    assert send(api, described(queued, "held")).unqueued == []


def test_the_servers_dry_run_creates_nothing(server: Replay, api: Api) -> None:
    check_by_server(api, described(TRAIN))
    assert server.objects == {}
    assert sorted(posts(server)) == [("jobs", True), ("services", True)]
    server.answers.append(refusing("jobs", dry_run=True))
    with pytest.raises(ClusterError, match="strict decoding error"):
        check_by_server(api, described(TRAIN))


def test_the_servers_dry_run_of_what_is_there(server: Replay, api: Api) -> None:
    send(api, described(TRAIN))
    server.asked.clear()
    # For a submit there is nothing to do, or a difference to be told.
    rehearse(api, described(TRAIN))
    assert server.requests("POST") == []
    with pytest.raises(ClusterError, match="exists with another spec"):
        rehearse(api, described(TRAIN | {"suspend": True}))
    # Before a run is made anew its objects are looked at as if they were not there.
    check_by_server(api, described(TRAIN | {"suspend": True}))
    assert sorted(posts(server)) == [("jobs", True), ("services", True)]


def test_submits_at_once_are_one_run(server: Replay, api: Api) -> None:
    """All of them find nothing, and all of them create."""
    submission, everybody = described(SWEEP, "s"), Barrier(3)
    with ThreadPoolExecutor(3) as executor:
        sent = list(executor.map(lambda _: send(api, submission, ready=lambda: (everybody.wait(), None)[1]), range(3)))
    made = [name for each in sent for name in each.created]
    assert sorted(made) == sorted(submission.run_names)
    assert {len(each.created) + len(each.present) for each in sent} == {20}
    assert len(server.objects[JOBS]) == len(server.objects[SERVICES]) == 20


def test_another_run_that_was_faster_is_not_taken_for_ours(server: Replay, api: Api) -> None:
    ours, theirs = described(SCORE, "s"), described(SCORE | {"shmSize": "1Gi"}, "s")
    with pytest.raises(OtherRunError, match="shmSize"):
        send(api, ours, ready=lambda: server.add(theirs.objects[0]))
    assert len(server.objects[JOBS]) == 1
