"""`datascaler submit` against the recorded API server: defaults, backend, what stdout carries, and whole pipelines."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result

from datascaler.cli.main import cli
from datascaler.cluster.names import VALUES
from datascaler.cluster.paths import path_of
from datascaler.errors import DatascalerError
from tests.cli.submitting import SMALLEST, command_of
from tests.cluster.replay import Answer, Query, Replay, recorded_answer, recorded_run

JOBS = path_of("Job", "ml")

pytestmark = pytest.mark.usefixtures("kubeconfig", "real_helm")


def submit(verb: str, *words: str) -> Result:
    result = CliRunner().invoke(cli, ["submit", verb, *SMALLEST[verb], *words])
    if isinstance(result.exception, DatascalerError):
        result.exit_code = result.exception.exit_code
    elif result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def jobs(server: Replay) -> dict[str, dict[str, Any]]:
    return {job["metadata"]["name"]: job for job in server.objects.get(JOBS, [])}


def record(job: dict[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(job["metadata"]["annotations"][VALUES])
    return values


@pytest.fixture
def ends(server: Replay) -> Callable[[str, str], None]:
    """`ends(run, how)`: when the run is looked at, it has ended as the recorded one did."""
    ways: dict[str, str] = {}

    def answer(_method: str, path: str, _query: Query, _body: Any) -> Answer | None:
        for name, job in jobs(server).items() if path == JOBS else ():
            how = ways.get(name) or ways.get("*")
            if how and "status" not in job:
                job["status"] = recorded_run(how)["run"]["status"]
        return None

    server.answers.append(answer)
    return ways.__setitem__


# ---- one run ---------------------------------------------------------------------------------------------------


def test_stdout_is_the_handle_and_stderr_says_what_is_next(server: Replay) -> None:
    result = submit("subset", "--name", "mine")
    assert (result.exit_code, result.stdout) == (0, "ml/mine\n")
    lines = result.stderr.splitlines()
    assert "namespace ml has no datascaler-defaults; the chart's own are used" in lines
    assert lines[-1] == "next:  datascaler status ml/mine   datascaler logs -f ml/mine   datascaler cancel ml/mine"
    assert command_of(jobs(server)["mine"]) == ["datascaler", "subset", *SMALLEST["subset"]]


def test_submitting_again_is_no_second_run(server: Replay) -> None:
    first, again = submit("subset"), submit("subset")
    assert first.stdout == again.stdout
    assert (first.exit_code, again.exit_code) == (0, 0)
    assert len(jobs(server)) == 1
    name = first.stdout.strip().removeprefix("ml/")
    assert f"{name} is there already with the same spec: pending" in again.stderr
    other = submit("subset", "--name", name, "--cpu", "8")
    assert (other.exit_code, other.stdout) == (1, "")
    assert 'resources: (unset) -> {"cpu": "8"}' in str(other.exception)


def test_for_machines(server: Replay) -> None:
    found = json.loads(submit("subset", "--name", "mine", "--json").stdout)
    assert found == {"handle": "ml/mine", "created": ["mine"], "present": []}
    found = json.loads(submit("subset", "--name", "mine", "--json").stdout)
    assert found == {"handle": "ml/mine", "created": [], "present": ["mine"]}
    assert len(jobs(server)) == 1


def test_the_servers_dry_run(server: Replay) -> None:
    result = submit("subset", "--dry-run=server", "-o", "json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["items"][0]["kind"] == "Job"
    assert [query for _, query, _ in server.requests("POST")] == [{"fieldValidation": "Strict", "dryRun": "All"}]
    server.answer("POST", JOBS, *recorded_answer("unknown field"))
    result = submit("subset", "--dry-run=server")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "strict decoding error" in str(result.exception)


def test_the_namespaces_defaults_lie_below_the_flags(server: Replay) -> None:
    status, config_map = recorded_answer("configmap")
    text = "serviceAccountName: worker\nshmSize: 8Gi\nlabels: {team: a}\n"
    answer = config_map | {"data": {"values.yaml": text}}
    server.answer("GET", path_of("ConfigMap", "ml", "datascaler-defaults"), status, answer)
    submit("subset", "--name", "mine", "--shm-size", "2Gi", "--label", "who=b")
    values = record(jobs(server)["mine"])
    assert values["serviceAccountName"] == "worker"
    assert (values["shmSize"], values["labels"]) == ("2Gi", {"team": "a", "who": "b"})
    assert "has no datascaler-defaults" not in submit("subset").stderr


def test_training_takes_the_backend_that_is_there(server: Replay) -> None:
    submit("train", "--name", "without")
    assert record(jobs(server)["without"])["train"] == {"backend": "job"}
    server.answer("GET", "/apis/kubeflow.org/v1", *recorded_answer("operator"))
    server.has_operator = True
    submit("train", "--name", "with")
    assert [each["metadata"]["name"] for each in server.objects[path_of("PyTorchJob", "ml")]] == ["with"]
    submit("train", "--name", "chosen", "--backend", "job")
    assert "chosen" in jobs(server)


def test_a_queue_that_nobody_keeps_is_warned_of(server: Replay) -> None:
    assert (
        "warning: no Kueue holds mine in its queue, so it starts at once"
        in submit("subset", "--name", "mine", "--queue", "team-a").stderr
    )
    assert "mine" in jobs(server)


@pytest.mark.parametrize(("how", "code"), [("complete", 0), ("all-failed", 100)])
@pytest.mark.parametrize("flag", ["--wait", "--follow"])
def test_staying_with_the_run(how: str, code: int, flag: str, ends: Callable[[str, str], None]) -> None:
    ends("mine", how)
    result = submit("subset", "--name", "mine", flag)
    assert (result.exit_code, result.stdout) == (code, "ml/mine\n")
    assert "next:" not in result.stderr


def test_no_longer_than_asked(server: Replay) -> None:
    result = submit("subset", "--name", "mine", "--wait", "--timeout", "0")
    assert result.exit_code == 101
    assert "ml/mine has not ended after 0 s: pending" in result.stderr
    assert "mine" in jobs(server)


# ---- pipelines -------------------------------------------------------------------------------------------------


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
