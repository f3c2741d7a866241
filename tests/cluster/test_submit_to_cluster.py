"""`datascaler submit` against the recorded API server: defaults, backend, what stdout carries, and whole pipelines."""

import json
from collections.abc import Callable

import pytest

from datascaler.cluster.kube.api_paths import path_of
from tests.cli.submitting import SMALLEST, command_of
from tests.cluster.replay import Replay, recorded_answer
from tests.cluster.submitting import JOBS, jobs, record, submit

pytestmark = pytest.mark.usefixtures("kubeconfig", "real_helm")


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
