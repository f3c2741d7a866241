"""Initial weights: open_clip's distributions, and muP's exponents over widths."""

import math
from collections.abc import Mapping
from fractions import Fraction

import numpy as np
import open_clip
import pytest
import torch
from torch import Tensor, nn

from datascaler.errors import ConfigError
from datascaler.models.build import BuiltClip, build_clip
from datascaler.models.init import draw_tensor, initialise
from tests.models.clips import ARCH

WIDTHS = [Fraction(1, 2), Fraction(1), Fraction(2)]


def pooled_std(built: BuiltClip, name: str, weights: Mapping[str, Tensor]) -> float:
    """The std of a tensor; small ones are drawn with more seeds until the sampling error is about 1%."""
    rule, shape = built.table[name].init, weights[name].shape
    more = [draw_tensor(rule, shape, name, seed) for seed in range(1, math.ceil(5000 / shape.numel()))]
    return float(torch.stack([weights[name], *more]).std(correction=0))


def std_exponents(*, use_mup: bool) -> dict[str, float]:
    """Name -> exponent of the init std in width, for the tensors that are drawn at random."""
    stds: dict[str, list[float]] = {}
    for width in WIDTHS:
        built = build_clip(ARCH, width_mult=width, min_width_mult=WIDTHS[0], use_mup=use_mup)
        weights = built.model.state_dict()
        for name in (name for name, row in built.table.items() if row.init.std > 0):
            stds.setdefault(name, []).append(pooled_std(built, name, weights))
    log_widths = [math.log(width) for width in WIDTHS]
    return {name: float(np.polyfit(log_widths, np.log(values), 1)[0]) for name, values in stds.items()}


def test_std_exponents_under_mup() -> None:
    built = build_clip(ARCH)
    exponents = std_exponents(use_mup=True)
    # All but norms, attention biases and logit_scale, which are constants.
    assert len(exponents) == 5 * 6 + 7
    for name, exponent in exponents.items():
        expected = -0.5 if built.table[name].role == "hidden" else 0.0
        assert exponent == pytest.approx(expected, abs=0.05), name


def test_std_exponents_under_the_standard_parametrisation() -> None:
    """The control: class and positional embeddings and linear biases shrink with width, which muP must not do."""
    exponents = std_exponents(use_mup=False)
    for name in ("visual.class_embedding", "visual.positional_embedding", "transformer.resblocks.0.mlp.c_fc.bias"):
        assert exponents[name] == pytest.approx(-0.5, abs=0.05), name


def is_uniform(values: Tensor) -> bool:
    return float(values.abs().max() / values.std()) < 1.8


@pytest.mark.parametrize("width", [Fraction(1), Fraction(1, 2)])
def test_standard_init_matches_a_stock_model(width: Fraction) -> None:
    """Mean, std and kind of distribution of every tensor, within five standard errors."""
    built = build_clip(ARCH, width_mult=width)
    torch.manual_seed(0)
    stock = open_clip.CLIP(**built.config).state_dict()
    ours = built.model.state_dict()
    assert list(ours) == list(stock)
    for name, expected in stock.items():
        got, n = ours[name], expected.numel()
        assert got.dtype == expected.dtype
        assert got.shape == expected.shape
        if n == 1 or float(expected.std()) == 0:
            assert torch.equal(got, expected), name
            continue
        std = float(expected.std())
        assert abs(float(got.std()) - std) < 5 * std / n**0.5, name
        assert abs(float(got.mean())) < 5 * std / n**0.5, name
        if n > 1000:
            assert is_uniform(got) == is_uniform(expected), name


def test_each_tensor_depends_only_on_seed_and_name() -> None:
    built = build_clip(ARCH, seed=3)
    before = {name: value.clone() for name, value in built.model.state_dict().items()}
    torch.rand(5)
    initialise(built.model, built.table, seed=3)
    assert all(torch.equal(before[name], value) for name, value in built.model.state_dict().items())
    for name, row in built.table.items():
        assert torch.equal(draw_tensor(row.init, before[name].shape, name, 3), before[name])
    first, second = (f"transformer.resblocks.{block}.mlp.c_fc.weight" for block in (0, 1))
    assert not torch.equal(before[first], before[second])
    other = build_clip(ARCH, seed=4).model.state_dict()
    assert not torch.equal(before[first], other[first])


def test_building_leaves_the_global_generator_alone() -> None:
    state = torch.get_rng_state()
    build_clip(ARCH)
    assert torch.equal(state, torch.get_rng_state())


def test_wrapped_models_are_refused() -> None:
    built = build_clip(ARCH)
    wrapped = nn.ModuleDict({"module": built.model})
    with pytest.raises(ConfigError, match="unwrapped"):
        initialise(wrapped, built.table, seed=0)
