"""`datascaler logs`: which flags go together, when saved logs are shown, and a reader that has seen enough."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from datascaler.cluster.kube.api_paths import path_of
from tests.cluster.replay import Replay, recorded_answer, recorded_run
from tests.cluster.test_commands import invoke

PODS = path_of("Pod", "ml")
START = "20261124T113939Z"

pytestmark = pytest.mark.usefixtures("kubeconfig")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The log folder of `complete`, with a log of a pod that is gone."""
    folder = tmp_path / "complete"
    folder.mkdir()
    for index in range(2):
        (folder / f"complete-{index}-abcde.{START}.log").write_text(f"one\ntwo of {index}\n")
    return folder


def add_run(server: Replay, folder: Path, *, with_pods: bool) -> None:
    found = recorded_run("complete")
    found["run"]["metadata"]["annotations"]["datascaler/values"] = json.dumps({"logs": str(folder)})
    server.add(found["run"], *(found["pods"] if with_pods else ()))


def test_saved_logs_are_shown_where_no_pod_is_left(server: Replay, folder: Path) -> None:
    add_run(server, folder, with_pods=False)
    heads = [f"==> complete-{index}-abcde.{START}.log <==" for index in range(2)]
    assert invoke("logs", "complete").stdout.splitlines() == [heads[0], "one", "two of 0", heads[1], "one", "two of 1"]
    assert invoke("logs", "complete", "--tail", "1").stdout.splitlines() == [heads[0], "two of 0", heads[1], "two of 1"]
    for words in (["complete", "--saved"], [f"file://{folder}"]):
        result = invoke("logs", *words, "--index", "1", "--tail", "1")
        assert result.stdout.splitlines() == [heads[1], "two of 1"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "no pod of complete has said anything yet"),
        (["--since", "10m"], "no pod of complete has said anything in the last 600 s"),
        (["--index", "1"], "no pod of complete with index 1 has said anything yet"),
        (["--index", "7"], "no pod of complete with index 7 is there; --saved shows what pods left that are gone"),
        (["--previous"], "no pod of complete had its container restarted"),
    ],
)
def test_pods_that_are_there_and_silent_are_no_reason_to_show_saved_logs(
    words: list[str], said: str, server: Replay, folder: Path
) -> None:
    add_run(server, folder, with_pods=True)
    server.answer("GET", f"{PODS}/complete*", *recorded_answer("log of no previous container"))
    result = invoke("logs", "complete", *words)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", f"{said}\n")


@pytest.mark.parametrize("words", [["--index", "0"], ["--since", "10m"], ["--previous"]])
def test_a_filter_is_about_pods_that_are_there(words: list[str], server: Replay, folder: Path) -> None:
    add_run(server, folder, with_pods=False)
    result = invoke("logs", "complete", *words)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "is there; --saved shows what pods left that are gone" in result.stderr


@pytest.mark.parametrize("run", ["complete", "s3://bucket/logs/complete"])
@pytest.mark.parametrize("words", [["--since", "10m"], ["--previous"], ["-f"]])
def test_flags_that_saved_logs_can_not_answer(run: str, words: list[str], server: Replay) -> None:
    result = invoke("logs", run, *words, *([] if "://" in run else ["--saved"]))
    assert result.exit_code == 2
    flag = {"-f": "--follow"}.get(words[0], words[0])
    assert f"{flag} is for pods that are there; saved logs know --index and --tail only" in result.stderr
    assert server.asked == []


def test_an_index_of_logs_that_have_none(folder: Path) -> None:
    assert invoke("logs", f"file://{folder}", "--index", "9").exit_code == 102
    for path in folder.iterdir():
        path.rename(folder / f"complete-{path.name[9]}bcde.{START}.log")
    result = invoke("logs", f"file://{folder}", "--index", "0")
    assert result.exit_code == 2
    assert "--index 0: the pods that left these logs have no index" in result.stderr


@pytest.mark.parametrize("flags", [[], ["-f"]], ids=["printed", "followed"])
def test_a_reader_that_has_seen_enough_ends_the_command(flags: list[str], server: Replay) -> None:
    server.add_run("running")

    def lines() -> Iterator[str]:
        # More than a pipe holds.
        for number in range(100_000):
            yield f"2026-01-01T00:00:00.{number:09}Z {number}\n"

    server.answers.append(lambda _method, path, _query, _body: (200, lines()) if path.endswith("/log") else None)
    command = [sys.executable, "-m", "datascaler", "logs", "running", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().endswith(" 0\n")
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
        # As click's commands end.
        assert process.wait(60) == 1
