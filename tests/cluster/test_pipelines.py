"""Pipelines against the recorded API server: step after step, and again after something failed."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from datascaler.cluster.act.cancel import cancel_run
from datascaler.cluster.act.retry import retry_run
from datascaler.cluster.act.run_step import carry_out
from datascaler.cluster.kube.api import Api
from datascaler.cluster.submit.submission import describe_submission
from datascaler.errors import ClusterError, PartlyFailedError, RunFailedError
from tests.cli.submitting import command_of
from tests.cluster.replay import Answer, Query, Replay, recorded_answer
from tests.cluster.submitting import JOBS, jobs, record, submit

pytestmark = pytest.mark.usefixtures("kubeconfig", "real_helm")


def test_a_pipeline_is_a_driver_in_the_cluster(server: Replay) -> None:
    result = submit("pipeline", "--name", "first")
    assert (result.exit_code, result.stdout) == (0, "ml/first\n")
    assert "pipeline  ml/first: score -> subset -> train -> eval" in result.stderr
    assert list(jobs(server)) == ["first"]
    assert command_of(jobs(server)["first"])[:4] == ["datascaler", "submit", "pipeline", "--wait"]


def test_the_driver_submits_one_step_after_the_other(server: Replay, ends: Callable[[str, str], None]) -> None:
    ends("*", "complete")
    result = submit(
        "pipeline", "--name", "first", "--wait", "--gpus", "0", "--train", "--workers 2", "--label", "team=a"
    )
    assert (result.exit_code, result.stdout) == (0, "ml/first\n")
    assert list(jobs(server)) == ["first-score", "first-subset", "first-train", "first-eval"]
    for job in jobs(server).values():
        labels = job["metadata"]["labels"]
        assert (labels["datascaler/pipeline"], labels["team"]) == ("first", "a")
        assert record(job)["logs"] == f"s3://out/logs/{job['metadata']['name']}"
    assert record(jobs(server)["first-train"])["train"] == {"backend": "job", "workers": 2}
    assert "--- step 3 of 4: train" in result.stderr
    # Again, nothing is left to do.
    server.asked.clear()
    assert (
        submit(
            "pipeline", "--name", "first", "--wait", "--gpus", "0", "--train", "--workers 2", "--label", "team=a"
        ).exit_code
        == 0
    )
    assert server.requests("POST") == []


def test_a_step_that_fails_ends_the_pipeline_and_is_made_anew_by_the_next(
    server: Replay, ends: Callable[[str, str], None]
) -> None:
    ends("*", "complete")
    ends("first-subset", "single-failed")
    result = submit("pipeline", "--name", "first", "--wait")
    assert result.exit_code == 100
    assert str(result.exception).startswith("step subset (ml/first-subset) did not succeed: failed: ")
    assert list(jobs(server)) == ["first-score", "first-subset"]
    uids = {name: job["metadata"]["uid"] for name, job in jobs(server).items()}
    ends("first-subset", "complete")
    result = submit("pipeline", "--name", "first", "--wait")
    assert result.exit_code == 0
    assert "first-subset had failed; starting again" in result.stderr
    again = {name: job["metadata"]["uid"] for name, job in jobs(server).items()}
    assert again["first-score"] == uids["first-score"]
    assert again["first-subset"] != uids["first-subset"]
    assert "first-eval" in again


def test_a_step_that_partly_failed_has_its_own_exit_code(ends: Callable[[str, str], None]) -> None:
    ends("*", "some-failed")
    result = submit("pipeline", "--name", "first", "--wait", "--score", "--count 3")
    assert result.exit_code == 104
    assert "step score (ml/first-score) did not succeed: partly failed" in str(result.exception)


def test_a_wrong_flag_of_the_last_step_is_found_before_the_first_runs(server: Replay) -> None:
    result = submit("pipeline", "--name", "first", "--wait", "--eval", "--parallelism -1")
    assert result.exit_code == 2
    assert "'/parallelism'" in result.stderr
    assert jobs(server) == {}


def test_a_failed_pipeline_submitted_again_goes_on(server: Replay, ends: Callable[[str, str], None]) -> None:
    submit("pipeline", "--name", "first")
    ends("first", "single-failed")
    uid = jobs(server)["first"]["metadata"]["uid"]
    result = submit("pipeline", "--name", "first")
    assert (result.exit_code, result.stdout) == (0, "ml/first\n")
    assert "first had failed; starting again" in result.stderr
    assert jobs(server)["first"]["metadata"]["uid"] != uid


def test_a_retry_of_a_pipeline_is_a_new_driver_and_no_step_is_lost(
    server: Replay, api: Api, ends: Callable[[str, str], None]
) -> None:
    ends("first-score", "complete")
    ends("first-subset", "single-failed")
    submit("pipeline", "--name", "first", "--wait")
    with pytest.raises(ClusterError, match="no driver in the cluster"):
        retry_run(api, "ml", "first")
    submit("pipeline", "--name", "first")
    ends("first", "single-failed")
    uids = {name: job["metadata"]["uid"] for name, job in jobs(server).items()}
    assert retry_run(api, "ml", "first") == ["first"]
    again = {name: job["metadata"]["uid"] for name, job in jobs(server).items()}
    assert again.pop("first") != uids.pop("first")
    assert again == uids


def test_what_the_driver_submits_while_it_ends_is_cancelled_too(server: Replay, api: Api) -> None:
    submit("pipeline", "--name", "first")
    late = json.loads(json.dumps(jobs(server)["first"]))
    late["metadata"] |= {"name": "first-score", "uid": "late"}
    late["metadata"]["labels"] |= {
        "app.kubernetes.io/instance": "first-score",
        "app.kubernetes.io/component": "score",
        "datascaler/run": "first-score",
        "datascaler/pipeline": "first",
    }

    def submit_once_more(method: str, path: str, _query: Query, _body: Any) -> Answer | None:
        if method == "DELETE" and path == f"{JOBS}/first":
            server.add(late)
        return None

    server.answers.append(submit_once_more)
    assert cancel_run(api, "ml", "first") == ["first", "first-score"]
    assert jobs(server) == {}


def test_a_suspended_pipeline_has_steps_that_start(server: Replay) -> None:
    submit("pipeline", "--name", "first", "--suspend")
    driver = jobs(server)["first"]
    assert driver["spec"]["suspend"]
    words = command_of(driver)[3:]
    assert submit("pipeline", "--wait", *words[words.index("--name") :], "--timeout", "0").exit_code == 101
    assert not jobs(server)["first-score"]["spec"]["suspend"]


def test_a_sweep_goes_on_without_the_points_that_failed(api: Api, ends: Callable[[str, str], None]) -> None:
    points = [{"name": f"grid-{number}", "command": ["datascaler", "train"]} for number in range(3)]
    sweep = describe_submission("grid", "ml", [{"kind": "train", "train": {"backend": "job"}, "runs": points}])
    ends("*", "complete")
    ends("grid-1", "single-failed")
    carry_out(api, "ml", "sweep", sweep, lambda _: None)
    with pytest.raises(PartlyFailedError):
        carry_out(api, "ml", "train", sweep, lambda _: None)


def test_a_sweep_whose_points_all_failed_is_a_failure(api: Api, ends: Callable[[str, str], None]) -> None:
    points = [{"name": f"grid-{number}", "command": ["datascaler", "train"]} for number in range(2)]
    sweep = describe_submission("grid", "ml", [{"kind": "train", "train": {"backend": "job"}, "runs": points}])
    ends("*", "single-failed")
    with pytest.raises(RunFailedError):
        carry_out(api, "ml", "sweep", sweep, lambda _: None)


def test_logs_go_where_they_are_asked_to(server: Replay) -> None:
    submit("pipeline", "--name", "first", "--wait", "--timeout", "0", "--logs", "s3://logs", "--score", "--count 2")
    assert record(jobs(server)["first-score"])["logs"] == "s3://logs/first-score"
    submit("pipeline", "--name", "other", "--wait", "--timeout", "0", "--score", "--logs s3://mine")
    assert record(jobs(server)["other-score"])["logs"] == "s3://mine/other-score"


def test_the_driver_keeps_the_defaults_of_its_first_day(server: Replay, tmp_path: Any) -> None:
    defaults = tmp_path / "defaults.yaml"
    defaults.write_text("shmSize: 1Gi")
    submit("pipeline", "--name", "first", "--defaults", str(defaults))
    words = command_of(jobs(server)["first"])
    assert json.loads(words[words.index("--defaults") + 1]) == {"shmSize": "1Gi"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--wait", "--follow"], "--wait drives the pipeline from here"),
        (["--wait", "-o", "yaml"], "--wait drives the pipeline from here"),
    ],
)
def test_flags_that_would_do_nothing_are_refused(words: list[str], message: str) -> None:
    result = submit("pipeline", "--name", "first", *words)
    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize("words", [["--wait"], []], ids=["here", "by a driver"])
def test_what_the_server_refuses_of_the_last_step_starts_nothing(words: list[str], server: Replay) -> None:
    def refuse(method: str, _path: str, _query: Query, body: Any) -> Answer | None:
        return recorded_answer("immutable field") if method == "POST" and body["metadata"]["name"] == "p-eval" else None

    server.answers.append(refuse)
    result = submit("pipeline", "--name", "p", *words)
    assert result.exit_code == 78  # which ends a driver for good
    assert str(result.exception).startswith("step eval (ml/p-eval) can't run: Kubernetes refused (422): ")
    assert jobs(server) == {}


def test_a_step_of_that_name_from_other_values_starts_nothing(server: Replay) -> None:
    submit("subset", "--name", "p-subset", "--memory", "9Gi")
    result = submit("pipeline", "--name", "p", "--wait")
    assert result.exit_code == 78
    assert str(result.exception).startswith("step subset (ml/p-subset) can't run: ml/p-subset exists with another spec")
    assert list(jobs(server)) == ["p-subset"]


@pytest.fixture
def unread_subset(no_store: None) -> str:  # noqa: ARG001
    """The URL of a subset that pods can read and this machine can't: its recipe is not known here."""
    return "s3://out/clip.npy"


def test_a_forecast_is_a_list_of_training_runs_then_their_evaluation_then_the_page(
    server: Replay, ends: Callable[[str, str], None], unread_subset: str
) -> None:
    ends("*", "complete")
    words = ["--subset-files", f"{unread_subset},none", "--train", "--use-mup --workers 2", "--label", "team=a"]
    result = submit("forecast", "--name", "which", "--wait", *words)
    assert (result.exit_code, result.stdout) == (0, "ml/which\n"), result.stderr
    trained = [f"which-train-{number}" for number in range(4)]
    # The runs of a list are made side by side.
    assert sorted(list(jobs(server))[:4]) == trained
    assert list(jobs(server))[4:] == ["which-eval", "which-report"]
    for job in jobs(server).values():
        labels = job["metadata"]["labels"]
        assert (labels["datascaler/pipeline"], labels["team"]) == ("which", "a")
    assert {record(jobs(server)[name])["train"]["workers"] for name in trained} == {2}
    assert command_of(jobs(server)["which-report"]) == [
        *("datascaler", "report", "--output", "s3://out/forecast.html", "--target", "large", "s3://out/runs"),
    ]
    assert "ml/which: complete; the page is s3://out/forecast.html" in result.stderr


def test_a_run_of_the_ladder_that_failed_ends_it(
    server: Replay, ends: Callable[[str, str], None], unread_subset: str
) -> None:
    """A forecast from what is left would favour the filters whose runs are all there."""
    ends("*", "complete")
    ends("which-train-2", "single-failed")
    result = submit("forecast", "--name", "which", "--wait", "--subset-files", f"{unread_subset},none")
    assert result.exit_code == 104
    assert "step train (ml/which-train) did not succeed" in str(result.exception)
    assert "which-eval" not in jobs(server)
