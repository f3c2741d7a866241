"""The cost of training a CLIP, counted a second way, and beside published counts."""

from fractions import Fraction
from typing import Any

import pytest

from datascaler.cluster.submit.compute import _per_sample, a100_hours
from datascaler.spec.train import TrainSpec, datacomp_recipe


def spec(scale: str = "small", **more: Any) -> TrainSpec:
    return datacomp_recipe(scale, data_dir="s3://p", output_dir="s3://o", **more)


def tower(width: int, layers: int, tokens: int, heads: int) -> int:
    """Every matrix product of a transformer, as (rows, inner, columns)."""
    head = width // heads
    products = [
        (tokens, width, 3 * width),  # queries, keys, values
        *[(tokens, head, tokens)] * heads,  # queries x keys
        *[(tokens, tokens, head)] * heads,  # weights x values
        (tokens, width, width),  # out
        (tokens, width, 4 * width),
        (tokens, 4 * width, width),
    ]
    return layers * sum(2 * rows * inner * columns for rows, inner, columns in products)


@pytest.mark.parametrize(
    ("arch", "width_mult", "towers"),
    [
        ("ViT-B-32", "1", [(768, 12, 50, 12), (512, 12, 77, 8)]),
        ("ViT-B-32", "3/16", [(144, 12, 50, 12), (96, 12, 77, 8)]),
        ("ViT-B-16", "1", [(768, 12, 197, 12), (512, 12, 77, 8)]),
        ("ViT-L-14", "1", [(1024, 24, 257, 16), (768, 12, 77, 12)]),
    ],
)
def test_operations_of_a_sample(arch: str, width_mult: str, towers: list[tuple[int, int, int, int]]) -> None:
    assert _per_sample(arch, Fraction(width_mult)) == sum(tower(*shape) for shape in towers)


@pytest.mark.parametrize(("arch", "gigaflops"), [("ViT-B-32", 14.78), ("ViT-B-16", 41.09), ("ViT-L-14", 175.33)])
def test_operations_beside_open_clips_own_count(arch: str, gigaflops: float) -> None:
    """Its docs/model_profile.csv; that also counts the patch embedding, up to 1.6%."""
    assert 0.98 < _per_sample(arch, Fraction(1)) / 1e9 / gigaflops < 1


def test_hours_are_those_of_datacomps_record() -> None:
    assert a100_hours(spec()) == 4
    assert a100_hours(spec("medium")) == 40
    assert a100_hours(spec(train_num_samples=6_400_000)) == 2


def test_narrow_models_cost_less_than_their_width_and_more_than_its_square() -> None:
    hours = a100_hours(spec(width_mult=Fraction(1, 2), min_width_mult=Fraction(1, 2), use_mup=True))
    assert hours is not None
    assert 4 / 4 < hours < 4 / 2


def test_nothing_is_said_of_an_unknown_architecture() -> None:
    assert a100_hours(spec(model_arch="RN50")) is None
