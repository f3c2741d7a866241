"""Runs that start from weights, or from the end of another run."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch

from datascaler.data.runs.run_folder import RunSummary, run_url
from datascaler.errors import ConfigError
from datascaler.models.run_weights import fresh_model, read_checkpoint
from datascaler.spec.train import TrainSpec
from datascaler.train.start_weights import take_weights
from datascaler.train.train_clip import train_clip
from tests.train.runs import ARCH, BATCH, STEPS, checkpoint_of, metrics_of, tiny_spec


@pytest.fixture(scope="module")
def first(pool: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainSpec, RunSummary]:
    """Five steps."""
    spec = tiny_spec(pool, str(tmp_path_factory.mktemp("first")), train_num_samples=5 * BATCH, num_checkpoints=1)
    summary = train_clip(spec)
    assert summary is not None
    return spec, summary


def test_a_run_goes_on_under_a_longer_schedule(first: tuple[TrainSpec, RunSummary], tmp_path: Path) -> None:
    """Weights, moments and place in the data are the other run's, and the learning rate is this one's."""
    spec, summary = first
    longer = replace(spec, output_dir=str(tmp_path), train_num_samples=STEPS * BATCH, extend=summary.run)
    said: list[str] = []
    done = train_clip(longer, say=said.append)
    assert f"resuming  at {5 * BATCH} samples" in said
    rows = metrics_of(run_url(longer))
    assert [row["step"] for row in rows] == [6, 7, 8]
    whole = replace(longer, output_dir=str(tmp_path / "whole"), extend=None)
    train_clip(whole)
    assert [row["lr"] for row in rows] == [row["lr"] for row in metrics_of(run_url(whole))[5:]]
    assert done is not None
    assert done.samples_seen == STEPS * BATCH
    state = checkpoint_of(done.run)["optimizer"]["state"]
    assert {float(slots["step"]) for slots in state.values()} == {float(STEPS)}


def test_what_cannot_be_extended_is_refused(first: tuple[TrainSpec, RunSummary], tmp_path: Path) -> None:
    spec, summary = first
    longer = replace(spec, output_dir=str(tmp_path), train_num_samples=STEPS * BATCH, extend=summary.run)
    refusals: list[tuple[dict[str, Any], str]] = [
        ({"batch_size": 16}, "can't be extended by this run: batch_size was 12 and is 16"),
        ({"seed": 1}, "can't be extended by this run: seed was 0 and is 1"),
        ({"train_num_samples": 5 * BATCH}, r"has seen 60 samples: give more than those as --train-num-samples"),
        ({"extend": spec.output_dir}, "is not a run that is complete: only one that is can be extended"),
    ]
    for changes, message in refusals:
        with pytest.raises(ConfigError, match=message):
            train_clip(replace(longer, **changes))


def test_weights_of_a_run_are_the_new_ones(first: tuple[TrainSpec, RunSummary]) -> None:
    spec, summary = first
    clip = fresh_model(replace(spec, seed=5, loss="siglip"))
    take_weights(clip, summary.run)
    saved = read_checkpoint(summary.checkpoint)["state_dict"]
    found = clip.model.state_dict()
    assert all(torch.equal(value, found[name]) for name, value in saved.items())
    assert found.keys() - saved.keys() == {"logit_bias"}


def test_weights_of_another_model_are_refused(first: tuple[TrainSpec, RunSummary], tmp_path: Path) -> None:
    spec, summary = first
    wider = fresh_model(replace(spec, width_mult=Fraction(1, 2), min_width_mult=Fraction(1, 2)))
    with pytest.raises(ConfigError, match=r"does not fit this run: positional_embedding is \(16, 24\) there and"):
        take_weights(wider, summary.run)
    narrower_base = fresh_model(replace(spec, min_width_mult=Fraction(1, 8), use_mup=True))
    with pytest.raises(ConfigError, match="has another attention: muP's at another base width, or none"):
        take_weights(narrower_base, summary.run)
    # At the base width it is the same model.
    take_weights(fresh_model(replace(spec, use_mup=True)), summary.run)
    full = replace(spec, width_mult=Fraction(1), min_width_mult=Fraction(1))
    stock = fresh_model(full)
    torch.save(stock.model.state_dict(), tmp_path / "weights.pt")
    other = fresh_model(replace(full, seed=3))
    take_weights(other, f"{tmp_path}/weights.pt")
    assert torch.equal(other.model.get_parameter("visual.proj"), stock.model.get_parameter("visual.proj"))
    with pytest.raises(ConfigError, match=f"is of a run of {ARCH}, not of ViT-Micro-12-48"):
        take_weights(fresh_model(replace(spec, model_arch="ViT-Micro-12-48")), summary.run)


def test_a_run_that_starts_from_weights_does_so_once(first: tuple[TrainSpec, RunSummary], tmp_path: Path) -> None:
    spec, summary = first
    tuned = replace(spec, output_dir=str(tmp_path), train_num_samples=2 * BATCH, lr=1e-9, init_from=summary.run)
    done = train_clip(tuned)
    assert done is not None
    before, after = (read_checkpoint(each.checkpoint) for each in (summary, done))
    assert after["samples_seen"] == 2 * BATCH
    for name, value in before["state_dict"].items():
        torch.testing.assert_close(after["state_dict"][name], value, atol=1e-6, rtol=0)
