"""The commands that look at a run, through the real client on recorded answers: what is printed, and exit codes."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from datascaler.cli.main import cli
from datascaler.cluster.kube.api_paths import path_of
from datascaler.errors import DatascalerError
from tests.cluster.conftest import use_kubeconfig
from tests.cluster.replay import Replay, recorded_answer, recorded_run

JOBS, PODS = path_of("Job", "ml"), path_of("Pod", "ml")

pytestmark = pytest.mark.usefixtures("kubeconfig")


def invoke(*words: str) -> Result:
    """With the exit code that `main` gives to an error."""
    result = CliRunner().invoke(cli, words)
    if isinstance(result.exception, DatascalerError):
        result.exit_code = result.exception.exit_code
    elif result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.mark.parametrize(
    ("name", "code"),
    [("complete", 0), ("wrong-config", 100), ("running", 101), ("no-gpu", 101), ("absent", 102), ("some-failed", 104)],
)
def test_status_says_by_its_exit_code_how_a_run_is_doing(name: str, code: int, server: Replay) -> None:
    if name != "absent":
        server.add_run(name)
    assert invoke("status", name).exit_code == code
    assert invoke("status", f"ml/{name}", "--json").exit_code == code


def test_status_for_people(server: Replay) -> None:
    server.add_run("some-failed")
    lines = dict(line.split("  ", 1) for line in invoke("status", "some-failed").stdout.splitlines())
    said = {name.strip(): value.strip() for name, value in lines.items()}
    assert said["run"] == "ml/some-failed"
    assert (said["state"], said["succeeded"], said["failed"], said["failed indexes"]) == (
        "partly failed",
        "2",
        "1",
        "1",
    )
    assert "ended with 65 (bad input)" in said["reason"]


def test_status_for_machines(server: Replay) -> None:
    server.add_run("no-gpu")
    found = json.loads(invoke("status", "no-gpu", "--json").stdout)
    assert found["state"].startswith("pending (0 of 1 done): unschedulable: ")
    assert found["runs"][0]["state"] == "pending"
    assert found["runs"][0]["namespace"] == "ml"


def test_status_of_a_list_shows_what_needs_a_look_first(server: Replay) -> None:
    for name in ("complete", "running", "no-gpu"):
        run = server.add_run(name)
        run["metadata"]["labels"]["app.kubernetes.io/instance"] = "list"
    for pod in server.objects[PODS]:
        pod["metadata"]["labels"]["app.kubernetes.io/instance"] = "list"
    result = invoke("status", "list")
    assert result.exit_code == 101
    assert result.stdout.splitlines()[1].split()[:3] == ["no-gpu", "score", "pending"]
    assert result.stdout.splitlines()[-1].startswith(
        "3 runs: 1 pending, 1 running, 1 succeeded; no-gpu: unschedulable: "
    )


def test_another_namespace_by_handle_or_flag(server: Replay) -> None:
    server.add_run("over-quota")
    assert invoke("status", "over-quota").exit_code == 102
    for words in (["ml-quota/over-quota"], ["over-quota", "-n", "ml-quota"]):
        result = invoke("status", *words)
        assert result.exit_code == 101
        assert "exceeded quota" in result.stdout


def test_list(server: Replay) -> None:
    assert "no runs in namespace ml" in invoke("list").stderr
    for name in ("complete", "too-late", "no-gpu"):
        server.add_run(name)
    rows = [line.split() for line in invoke("list").stdout.splitlines()]
    assert rows[0] == ["name", "verb", "state", "succeeded", "failed", "wanted", "created"]
    assert {row[0]: row[1:3] for row in rows[1:]} == {
        "complete": ["score", "succeeded"],
        "too-late": ["subset", "failed"],
        "no-gpu": ["score", "pending"],
    }
    found = json.loads(invoke("list", "--verb", "subset", "--json").stdout)["runs"]
    assert [each["name"] for each in found] == ["too-late"]


@pytest.mark.parametrize(
    ("name", "code", "line"),
    [
        ("complete", 0, "ml/complete: succeeded (3 of 3 done)"),
        ("single-failed", 100, "ml/single-failed: failed: single-failed-"),
        ("some-failed", 104, "ml/some-failed: partly failed (2 of 3 done, 1 failed): some-failed-1-"),
    ],
)
def test_wait(name: str, code: int, line: str, server: Replay) -> None:
    server.add_run(name)
    result = invoke("wait", name)
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr.splitlines()[-1].startswith(line)


def test_wait_no_longer_than_asked(server: Replay) -> None:
    server.add_run("running")
    result = invoke("wait", "running", "--timeout", "0")
    assert result.exit_code == 101
    assert result.stderr.splitlines()[-1] == "ml/running has not ended after 0 s: running (0 of 2 done)"


def test_ctrl_c_detaches_and_says_so(server: Replay, monkeypatch: pytest.MonkeyPatch) -> None:
    server.add_run("running")

    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("datascaler.cluster.watch.wait.time.sleep", interrupt)
    result = invoke("wait", "running")
    assert result.exit_code == 101
    said = "detached; ml/running goes on. Again: datascaler wait ml/running   End it: datascaler cancel ml/running"
    assert result.stderr.splitlines()[-1] == said
    assert server.requests("DELETE") == []


def test_logs(server: Replay) -> None:
    server.add_run("complete")
    server.answer("GET", f"{PODS}/*", *recorded_answer("log"))
    result = invoke("logs", "complete", "--since", "10m", "--tail", "2")
    assert result.stdout.count("part 0\n") == 3
    asked = [query for path, query, _ in server.requests("GET") if path.endswith("/log")]
    assert {(query["sinceSeconds"], query["tailLines"]) for query in asked} == {("600", "2")}
    assert invoke("logs", "complete", "--since", "soon").exit_code == 2
    assert invoke("logs", "absent").exit_code == 102


def test_logs_of_pods_that_are_gone_are_in_the_log_folder(server: Replay, tmp_path: Path) -> None:
    run = recorded_run("complete")["run"]
    run["metadata"]["annotations"]["datascaler/values"] = json.dumps({"logs": str(tmp_path)})
    server.add(run)
    first, second = "complete-1-abcde.20261124T113939Z.log", "complete-0-fghij.20261124T113940Z.log"
    (tmp_path / second).write_text("later\n")
    (tmp_path / first).write_text("earlier\n")
    lines = invoke("logs", "complete").stdout.splitlines()
    assert lines == [f"==> {first} <==", "earlier", f"==> {second} <==", "later"]
    assert invoke("logs", f"file://{tmp_path}").stdout.splitlines() == lines
    assert invoke("logs", f"file://{tmp_path}/absent").exit_code == 102


def test_cancel_prints_what_it_ended(server: Replay) -> None:
    server.add_run("running")
    result = invoke("cancel", "running")
    assert (result.exit_code, result.stdout) == (0, "ml/running\n")
    assert invoke("cancel", "running").exit_code == 102


def test_scale(server: Replay) -> None:
    server.add_run("running")
    result = invoke("scale", "running", "1")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "ml/running: 2 -> 1 pods\n")
    assert server.requests("PATCH") == [(f"{JOBS}/running", {}, {"spec": {"parallelism": 1}})]
    result = invoke("scale", "running", "9")
    assert result.exit_code == 2
    assert "running has 2 parts, so between 0 (pause) and 2 pods, not 9" in result.stderr


@pytest.mark.usefixtures("real_helm")
def test_doctor_fails_only_for_what_submit_can_not_do_without(server: Replay) -> None:
    reviews = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    server.answer("POST", reviews, *recorded_answer("rights of an administrator"))
    result = invoke("doctor")
    assert result.exit_code == 0
    marks = [line.split()[0] for line in result.stdout.splitlines()]
    assert marks == ["ok", "ok", "note", "ok", "note"]
    server.answer("POST", reviews, *recorded_answer("rights of nobody"))
    result = invoke("doctor", "--json")
    assert result.exit_code == 1
    assert [each["check"] for each in json.loads(result.stdout) if not each["ok"] and each["is_fatal"]] == ["rights"]


@pytest.mark.parametrize("verb", ["status", "wait", "cancel", "retry", "describe", "logs"])
def test_what_is_no_handle_is_a_usage_error(verb: str) -> None:
    result = invoke(verb, "a/b/c")
    assert result.exit_code == 2
    assert "write NAMESPACE/NAME or NAME" in str(result.stderr)


@pytest.mark.parametrize("verb", ["status", "wait", "cancel", "retry", "describe", "logs"])
def test_a_cluster_that_is_not_there_is_one_line(verb: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use_kubeconfig(monkeypatch, tmp_path / "absent")
    result = invoke(verb, "ml/run")
    assert result.exit_code == 1
    message = str(result.exception)
    assert message.startswith("no cluster to talk to: ")
    assert message.endswith("; give --kubeconfig or --context")
    assert "\n" not in message


@pytest.mark.parametrize("more", [(), ("--json",), ("--verb", "train")])
def test_no_runs_of_a_namespace_that_is_not_there(more: tuple[str, ...], server: Replay) -> None:
    """The server lists nothing in any namespace, there or not."""
    status, answer = recorded_answer("not found")
    server.answer("GET", "/api/v1/namespaces/ml", status, answer | {"message": 'namespaces "ml" not found'})
    result = invoke("list", *more)
    assert (result.exit_code, result.stdout) == (1, "")
    assert str(result.exception) == "there is no namespace ml; check --namespace and --context"
