"""Several budgets from one trunk: each is the run that it would be alone, whatever happened on the way."""

from dataclasses import replace
from pathlib import Path

import pytest

from datascaler import storage
from datascaler.data.runs.run_folder import finished, outcome, run_url
from datascaler.errors import StoppedError
from datascaler.models.run_weights import checkpoint_url
from datascaler.spec.train import TrainSpec
from datascaler.train import step
from datascaler.train.train_clip import train_clip
from tests.train.runs import BATCH, differing_weights, metrics_of, tiny_spec

BUDGETS = (2, 4, 6)
"""In steps. Their cool-downs begin after 1, 2 and 3."""


def ladder(pool: str, folder: Path) -> TrainSpec:
    samples = tuple(steps * BATCH for steps in BUDGETS)
    return tiny_spec(
        pool,
        str(folder),
        schedule="wsd",
        cooldown=0.5,
        branch_at=samples,
        train_num_samples=max(samples),
        num_checkpoints=1,
    )


@pytest.fixture(scope="module")
def alone(pool: str, tmp_path_factory: pytest.TempPathFactory) -> list[TrainSpec]:
    """Each budget as a run that knows nothing of the others."""
    folder = tmp_path_factory.mktemp("alone")
    specs = [replace(each, output_dir=str(folder / str(each.steps))) for each in ladder(pool, folder).budgets]
    for spec in specs:
        train_clip(spec)
    return specs


def check_equal(spec: TrainSpec, alone: list[TrainSpec]) -> None:
    for ours, theirs in zip(spec.budgets, alone, strict=True):
        assert list(differing_weights(run_url(ours), run_url(theirs))) == []
        rows = [[(row["step"], row["loss"], row["lr"]) for row in metrics_of(run_url(each))] for each in (ours, theirs)]
        assert rows[0] == rows[1]
        assert len(rows[0]) == ours.steps
        summary, other = finished(run_url(ours)), finished(run_url(theirs))
        assert summary
        assert other
        assert (summary.train_loss, summary.samples_seen) == (other.train_loss, other.samples_seen)


def test_budgets_end_as_runs_of_their_own_do(alone: list[TrainSpec], pool: str, tmp_path: Path) -> None:
    spec = ladder(pool, tmp_path)
    said: list[str] = []
    summary = train_clip(spec, say=said.append)
    assert summary == outcome(spec)
    assert summary
    assert summary.samples_seen == 6 * BATCH
    assert [line for line in said if line.startswith("resuming")] == [
        f"resuming  at {steps * BATCH:,} samples" for steps in (1, 2)
    ]
    check_equal(spec, alone)
    # Rows of the trunk come before the first start of a branch.
    starts = [[row["start"] for row in metrics_of(run_url(each))] for each in spec.budgets]
    assert starts == [[1, 1], [0, 1, 1, 1], [0, 0, 1, 1, 1, 1]]
    # Complete: the same command computes nothing, and a longer budget goes on from the longest trunk.
    said.clear()
    train_clip(replace(spec, branch_at=(*spec.branch_at, 7 * BATCH), train_num_samples=7 * BATCH), say=said.append)
    assert [line for line in said if line.startswith(("resuming", "trunk"))] == [
        f"trunk     from {checkpoint_url(run_url(spec), 3)}",
        f"resuming  at {3 * BATCH:,} samples",
    ]


@pytest.mark.slow
def test_budgets_that_are_stopped_end_the_same(
    alone: list[TrainSpec], pool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in each part of the work: a trunk, a cool-down, the step of a branch, the last step of a budget."""
    spec = ladder(pool, tmp_path)
    for steps in (1, 1, 1, 1, 2, 2):
        with monkeypatch.context() as patch:
            asked = iter([*[False] * (steps - 1), True])
            patch.setattr(step, "stop_requested", lambda asked=asked: next(asked))
            with pytest.raises(StoppedError):
                train_clip(spec)
    assert outcome(spec.budgets[0])
    assert outcome(spec) is None
    train_clip(spec)
    check_equal(spec, alone)


@pytest.mark.slow
def test_a_damaged_trunk_is_left_for_the_one_before(alone: list[TrainSpec], pool: str, tmp_path: Path) -> None:
    spec = ladder(pool, tmp_path)
    short, middle, _ = spec.budgets
    train_clip(replace(spec, branch_at=(short.train_num_samples,), train_num_samples=middle.train_num_samples))
    damaged = checkpoint_url(run_url(middle), middle.trunk_steps)
    storage.publish_bytes(damaged, storage.read_bytes(damaged)[:-9])
    said: list[str] = []
    train_clip(spec, say=said.append)
    assert f"trunk     from {checkpoint_url(run_url(short), short.trunk_steps)}" in said
    assert any(line.startswith("damaged") and damaged in line for line in said)
    check_equal(spec, alone)
