"""Trackers that work, fail and hang: the run that they are told of notices nothing."""

import threading
import time
from collections.abc import Iterator, Mapping

import pytest

from datascaler.tools import trackers
from datascaler.tools.trackers import TrackedRun, Trackers

RUN = TrackedRun(url="out/run", name="run", settings={}, is_local=True, first_step=1)


class Kept:
    """A tracker that keeps what it is told."""

    def __init__(self, _: TrackedRun) -> None:
        self.rows: list[tuple[int, dict[str, float]]] = []
        self.complete: list[bool] = []
        opened.append(self)

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        self.rows.append((step, dict(figures)))

    def close(self, *, is_complete: bool) -> None:
        self.complete.append(is_complete)


class Failing(Kept):
    def log(self, step: int, figures: Mapping[str, float]) -> None:
        if step == 2:
            raise OSError("the service is gone\nand more")
        super().log(step, figures)


class Leaving(Kept):
    def __init__(self, run: TrackedRun) -> None:
        super().__init__(run)
        raise SystemExit(1)


class Hanging(Kept):
    def log(self, step: int, figures: Mapping[str, float]) -> None:
        released.wait(20)
        super().log(step, figures)


opened: list[Kept] = []
released = threading.Event()


@pytest.fixture(autouse=True)
def kinds(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    opened.clear()
    released.clear()
    own = {"kept": Kept, "failing": Failing, "leaving": Leaving, "hanging": Hanging}
    monkeypatch.setattr(trackers, "_KINDS", {**trackers._KINDS, **own})
    yield
    released.set()


def told(*names: str, steps: int = 4, is_complete: bool = True) -> list[str]:
    """What is said of a run of some steps."""
    said: list[str] = []
    run = Trackers(names, RUN, said.append)
    for step in range(1, steps + 1):
        run.add(step, {"loss": 1 / step})
    run.close(is_complete=is_complete)
    run.close(is_complete=False)
    return said


def test_every_row_is_told_once_and_the_end_too() -> None:
    assert told("kept", is_complete=False) == []
    (kept,) = opened
    assert kept.rows == [(step, {"loss": 1 / step}) for step in range(1, 5)]
    assert kept.complete == [False]


def test_one_that_fails_is_left_and_the_others_are_told_all() -> None:
    said = told("failing", "kept", "leaving")
    assert sorted(said) == [
        "tracker   failing is off, the run goes on: OSError: the service is gone",
        "tracker   leaving is off, the run goes on: SystemExit: 1",
    ]
    (kept,) = (each for each in opened if type(each) is Kept)
    assert (len(kept.rows), kept.complete) == (4, [True])


def test_one_that_hangs_costs_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trackers, "_CLOSING_SECONDS", 0.2)
    monkeypatch.setattr(trackers, "_WAITING_ROWS", 3)
    started = time.monotonic()
    assert told("hanging", steps=5000) == []
    assert time.monotonic() - started < 10
    released.set()


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_package_that_is_not_installed_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(module: str) -> object:
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    monkeypatch.setattr(trackers, "import_module", missing)
    (said,) = told(name)
    assert said.startswith(f"tracker   {name} is off, the run goes on: No module named '{name}")
    assert f"(pip install {name}" in said
