"""Which tensors' gradients shrink as a model gets wider, measured: eps must shrink with theirs and no others."""

import math
from fractions import Fraction
from statistics import mean

import pytest
import torch
from torch.nn.functional import normalize

from datascaler.models.build import build_clip
from datascaler.models.roles import ROLES

ARCH, BASE = "ViT-Micro-12-48", Fraction(1, 2)


def gradient_rms(width_mult: Fraction, seed: int) -> dict[str, tuple[float, float]]:
    """By role: mean log2 of the tensors' gradient RMS in one batch, and the scale of their eps."""
    clip = build_clip(ARCH, width_mult=width_mult, min_width_mult=BASE, use_mup=True, seed=seed)
    draw = torch.Generator().manual_seed(seed)
    images = torch.randn(12, 3, 48, 48, generator=draw)
    tokens = torch.randint(1, 49407, (12, 16), generator=draw)
    tokens[:, 9] = 49407
    image = normalize(clip.model.encode_image(images), dim=-1)  # type: ignore[operator]
    text = normalize(clip.model.encode_text(tokens), dim=-1)  # type: ignore[operator]
    logits = clip.model.logit_scale.exp() * image @ text.T  # type: ignore[operator]
    # The loss's own slope at random cosines differs from draw to draw; a fixed one leaves what the towers make of it.
    logits.backward(torch.randn(12, 12, generator=draw))
    found: dict[str, list[float]] = {role: [] for role in ROLES}
    scales: dict[str, set[float]] = {role: set() for role in ROLES}
    for name, parameter in clip.model.named_parameters():
        gradient = parameter.grad
        assert gradient is not None
        used = gradient[gradient.abs().sum(1) > 0] if name == "token_embedding.weight" else gradient
        role = clip.table[name].role
        found[role].append(math.log2(float(used.double().square().mean().sqrt())))
        scales[role].add(clip.table[name].eps_scale)
    return {role: (mean(values), *scales[role]) for role, values in found.items()}  # type: ignore[misc]


def test_eps_shrinks_with_the_gradients_of_its_role() -> None:
    seeds, ratio = range(2), 4
    base, wide = ([gradient_rms(BASE * width, seed) for seed in seeds] for width in (1, ratio))
    slopes = {
        role: mean(after[role][0] - before[role][0] for before, after in zip(base, wide, strict=True))
        / math.log2(ratio)
        for role in ROLES
    }
    for role in ("input", "hidden", "vector"):
        # As 1/width, and all alike. (The one scalar's gradient is too few numbers for a slope; it has no width.)
        assert slopes[role] == pytest.approx(-1, abs=0.3), slopes
        assert slopes[role] == pytest.approx(slopes["hidden"], abs=0.15), slopes
    for role in ROLES:
        assert {found[role][1] for found in base} == {1.0}
        assert {found[role][1] for found in wide} == {1.0 if role == "scalar" else 1 / ratio}
