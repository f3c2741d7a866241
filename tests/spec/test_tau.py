"""The decay time scale tau = B / (lr x decay x D), and weight decay that holds it where samples or batch change."""

from typing import Any

import pytest

from datascaler.errors import ConfigError
from datascaler.spec.scales import SCALES
from datascaler.spec.train import TrainSpec, datacomp_recipe


def recipe(scale: str = "small", **changes: Any) -> TrainSpec:
    return datacomp_recipe(scale, data_dir="pool", output_dir="out", **changes)


@pytest.mark.parametrize(
    ("scale", "tau"),
    [("debug", 400.0), ("small", 3.2), ("medium", 0.32), ("large", 0.064), ("xlarge", 0.0352)],
)
def test_the_time_scales_of_datacomps_own_ladder(scale: str, tau: float) -> None:
    assert recipe(scale).tau == pytest.approx(tau, rel=1e-12)


def test_what_forgets_nothing_has_none() -> None:
    assert recipe(weight_decay=0.0).tau is None


@pytest.mark.parametrize(
    ("changes", "decay"),
    [
        ({}, 0.2),
        ({"train_num_samples": 4 * 12_800_000}, 0.05),
        ({"batch_size": 1024}, 0.05),
        ({"batch_size": 8192, "train_num_samples": 2 * 12_800_000}, 0.2),
        ({"train_num_samples": 3_200_000, "weight_decay": 0.1}, 0.4),
        # The learning rate is what a sweep is about: what is held is the tau of this rate at the scale's own length.
        ({"train_num_samples": 4 * 12_800_000, "lr": 1e-3}, 0.05),
    ],
    ids=str,
)
def test_held_tau_is_that_of_the_scales_own_samples_and_batch(changes: dict[str, Any], decay: float) -> None:
    held = recipe(hold_tau=True, **changes)
    assert held.applied_weight_decay == pytest.approx(decay, rel=1e-12)
    own = SCALES["small"]
    there = recipe(**{**changes, "train_num_samples": own.train_num_samples, "batch_size": own.batch_size})
    assert held.tau == pytest.approx(there.tau, rel=1e-12)
    # Another run than the one that has this decay by its own name.
    assert held.folder == recipe(**changes).folder + "-tau"


def test_a_trunk_has_one_decay() -> None:
    with pytest.raises(ConfigError, match="branch_at and hold_tau exclude each other"):
        recipe(schedule="wsd", branch_at=(6_400_000, 12_800_000), hold_tau=True)


@pytest.mark.parametrize("text", ["1M", "1M:", "x:1", "1M:x", ":"])
def test_limits_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="loss_limits must be SAMPLES:LOSS"):
        recipe(loss_limits=(text,))
