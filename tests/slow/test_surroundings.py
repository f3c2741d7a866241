"""Training in two processes with a loader each, on machines with habits of their own; see `tests/cli`."""

import signal
import time
from pathlib import Path

import pytest

from datascaler.data.runs.run_folder import run_url
from datascaler.errors import StoppedError
from datascaler.spec.train import TrainSpec
from datascaler.train import step
from datascaler.train.train_clip import train_clip
from tests.stopping import Command
from tests.surroundings import STOP_SECONDS, SURROUNDINGS, TRIES, under
from tests.train.runs import BATCH, make_pool, metrics_of, tiny_spec
from tests.train.test_interrupted import saved_steps

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

STEPS = 3


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_pool(str(tmp_path_factory.mktemp("surroundings") / "pool"))


def long_spec(pool: str, out: str, num_workers: int) -> TrainSpec:
    many = 4000
    return tiny_spec(pool, out, train_num_samples=many * BATCH, num_checkpoints=many, num_workers=num_workers)


def losses(spec: TrainSpec) -> list[float]:
    return [row["loss"] for row in metrics_of(run_url(spec))[:STEPS]]


@pytest.fixture(scope="module")
def undisturbed(pool: str, tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    """The first losses of the same run, in this process."""
    spec = long_spec(pool, str(tmp_path_factory.mktemp("undisturbed")), num_workers=0)
    asked = iter([False] * (STEPS - 1) + [True])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step, "stop_requested", lambda: next(asked))
        with pytest.raises(StoppedError):
            train_clip(spec)
    return losses(spec)


@pytest.mark.parametrize("name", SURROUNDINGS)
def test_it_trains_as_ever_and_stops_within_seconds(
    name: str, pool: str, undisturbed: list[float], tmp_path: Path
) -> None:
    for attempt in range(TRIES):
        folder = tmp_path / f"{attempt}"
        folder.mkdir()
        spec = long_spec(pool, f"{tmp_path}/out{attempt}", num_workers=1)
        with Command("train", *spec.arguments(), "--nproc-per-node=2", under=under([name], folder)) as run:
            deadline = time.monotonic() + 400
            while saved_steps(spec) < STEPS:
                assert run.process.poll() is None, run.said()
                assert time.monotonic() < deadline, run.said()
                time.sleep(0.05)
            started = time.monotonic()
            run.send(signal.SIGTERM)
            assert run.wait() == 143, run.said()
            seconds = time.monotonic() - started
            assert run.left() == []
        assert losses(spec) == pytest.approx(undisturbed, abs=1e-4)
        if seconds < STOP_SECONDS:
            return
    pytest.fail(f"SIGTERM was heeded after {STOP_SECONDS} s, {TRIES} times")
