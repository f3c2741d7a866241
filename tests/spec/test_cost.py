"""What training costs: operations beside every matrix product of a model, and hours beside DataComp's record."""

from fractions import Fraction

import pytest

from datascaler.spec.cost import a100_hours, operations_per_sample
from datascaler.spec.scales import SCALES


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
        ("ViT-H-14", "1", [(1280, 32, 257, 16), (1024, 24, 77, 16)]),
        ("ViT-Mini-8-48", "1", [(96, 3, 37, 6), (96, 2, 16, 6)]),
    ],
)
def test_operations_of_a_sample(arch: str, width_mult: str, towers: list[tuple[int, int, int, int]]) -> None:
    assert operations_per_sample(arch, Fraction(width_mult)) == sum(tower(*shape) for shape in towers)


@pytest.mark.parametrize(
    ("arch", "gigaflops"), [("ViT-B-32", 14.78), ("ViT-B-16", 41.09), ("ViT-L-14", 175.33), ("ViT-S-32", 5.66)]
)
def test_operations_beside_open_clips_own_count(arch: str, gigaflops: float) -> None:
    """Its docs/model_profile.csv; that also counts the patch embedding, up to 1.6%."""
    operations = operations_per_sample(arch, Fraction(1))
    assert operations is not None
    assert 0.98 < operations / 1e9 / gigaflops < 1


def hours(scale: str, width_mult: Fraction = Fraction(1), samples: int | None = None) -> float | None:
    recipe = SCALES[scale]
    return a100_hours(recipe.arch, width_mult, samples or recipe.train_num_samples)


def test_hours_are_those_of_datacomps_record() -> None:
    assert hours("small") == 4
    assert hours("medium") == 40
    assert hours("small", samples=6_400_000) == 2


def test_narrow_models_cost_less_than_their_width_and_more_than_its_square() -> None:
    half = hours("small", Fraction(1, 2))
    assert half is not None
    assert 4 / 4 < half < 4 / 2


def test_nothing_is_said_of_an_unknown_architecture() -> None:
    assert a100_hours("RN50", Fraction(1), 1_000_000) is None
