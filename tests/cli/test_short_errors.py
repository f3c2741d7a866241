"""Whatever a verb meets ends in at most three lines with the right exit code, and --debug shows the rest."""

import os
import random
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from datascaler.cli import main as command
from tests.cli.wrong_words import VERBS, wrong_environment, wrong_words

DRAWS = 200
"""Of each verb."""


class Ended:
    def __init__(self, code: int, err: str) -> None:
        self.code, self.err = code, err
        self.lines = [line for line in err.splitlines() if line.strip()]


Run = Callable[..., Ended]


@pytest.fixture
def run(no_store: None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:  # noqa: ARG001
    """Run the command in this process."""
    monkeypatch.delenv("DATASCALER_DEBUG", raising=False)

    def run(*words: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["datascaler", *words])
        with pytest.raises(SystemExit) as ended:
            command.main()
        return Ended(int(ended.value.code or 0), capfd.readouterr().err)

    return run


@pytest.mark.parametrize("verb", VERBS)
def test_wrong_words_and_surroundings_are_told_in_three_lines(
    verb: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The folder above is no other test's.
    here = tmp_path / "above" / "here"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    for seed in range(DRAWS):
        draw = random.Random(f"{verb} {seed}")
        with monkeypatch.context() as patch:
            for name, value in wrong_environment(draw).items():
                patch.setenv(name, value)
            words = wrong_words(verb, draw, tmp_path)
            ended = run(*words)
        # 102 is that of `runs`, which finds none.
        assert ended.code in (1, 2, 65, 78, 102), (words, ended.code, ended.err)
        assert len(ended.lines) <= 3, (words, ended.err)
        assert "rror: " in ended.err, (words, ended.err)
        assert "--debug shows where" not in ended.err, (words, ended.err)


def test_a_fault_of_ours_is_two_lines_and_debug_shows_the_rest(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise KeyError("a fault\nof two lines")

    monkeypatch.setattr("datascaler.cli.main._Verbs.invoke", lambda *_: fail(None))
    ended = run("runs", "nowhere")
    assert ended.code == 1
    assert ended.lines == [
        r"datascaler: error: KeyError: 'a fault\nof two lines'",
        "  --debug shows where; if the command is right, please report it",
    ]
    monkeypatch.setenv("DATASCALER_DEBUG", "1")
    ended = run("runs", "nowhere")
    assert "Traceback (most recent call last)" in ended.err
    assert ended.lines[-2].startswith("datascaler: error: KeyError")


def test_debug_may_stand_anywhere(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for words in (("runs", f"{tmp_path}/no", "--debug"), ("--debug", "runs", f"{tmp_path}/no")):
        monkeypatch.delenv("DATASCALER_DEBUG", raising=False)
        assert len(run("runs", f"{tmp_path}/no").lines) <= 3
        ended = run(*words)
        assert "Traceback (most recent call last)" in ended.err
        assert ended.code == run("runs", f"{tmp_path}/no").code
        assert os.environ.pop("DATASCALER_DEBUG") == "1"
