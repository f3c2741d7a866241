"""The verdict of a coordinate check, on sizes whose exponents of width are known."""

from collections.abc import Iterator

import numpy as np
import pytest

from datascaler.train.coord_measure import Coordinate, Kind
from datascaler.train.coord_verdict import Verdict, judge, slopes_of

WIDTHS, SEEDS, STEPS = (1.0, 2.0, 4.0, 8.0), 3, 5
Slopes = dict[tuple[Kind, str], float]
FLAT: Slopes = {
    ("block", "vision block 1"): 0.0,
    ("block", "text block 1"): 0.0,
    ("feature", "image"): 0.0,
    ("direction", "text"): 0.0,
    ("attention", "text attention"): -0.5,
    ("cosine", "image and text"): -0.5,
}
GROWING: Slopes = FLAT | {("block", "vision block 1"): 0.7, ("block", "text block 1"): 0.6}


def rows_of(slopes: Slopes, *, base: float = 1.0, noise: float = 0.02, last_step: int = STEPS) -> list[Coordinate]:
    """Sizes that go as width^slope, those at the base width times `base`; seeds differ by chance."""
    draw = np.random.default_rng(7)

    def rows() -> Iterator[Coordinate]:
        for width in WIDTHS:
            for seed in range(SEEDS):
                for step in range(last_step + 1):
                    for (kind, name), slope in slopes.items():
                        size = width**slope * (base if width == 1 else 1.0) * np.exp(noise * draw.normal())
                        yield Coordinate(width, seed, step, kind, name, float(size))

    return list(rows())


def test_slopes_are_least_squares_of_logarithms() -> None:
    rows = rows_of(GROWING, noise=0.3)
    for each in slopes_of(rows):
        own = [row for row in rows if (row.kind, row.name, row.step) == (each.kind, each.name, each.step)]
        for slope, fewest in ((each.slope, 1.0), (each.without_smallest, 2.0)):
            of = [row for row in own if row.width_mult >= fewest]
            line = np.polyfit(np.log([row.width_mult for row in of]), np.log([row.size for row in of]), 1)
            assert slope == pytest.approx(line[0], abs=1e-9)


@pytest.mark.parametrize(
    ("mup", "standard", "verdict", "reason"),
    [
        (FLAT, GROWING, "passed", ""),
        # The base width is the least sure one: a size that is larger there and then flat is no growth.
        (FLAT | {("feature", "image"): -0.1}, GROWING, "passed", ""),
        (
            FLAT | {("block", "text block 1"): 0.25},
            GROWING,
            "failed",
            "text block 1 at step 0: size goes as width^+",
        ),
        (FLAT | {("block", "text block 1"): -0.25}, GROWING, "failed", "without the smallest width as width^-0.2"),
        (FLAT | {("direction", "text"): 0.3}, GROWING, "failed", "text at step 0"),
        (FLAT | {("attention", "text attention"): -0.8}, GROWING, "failed", "text attention at step"),
        (FLAT | {("cosine", "image and text"): 0.5}, GROWING, "passed", ""),
        (FLAT, FLAT, "no power", "a wrong parametrisation would have passed too"),
        # One tower that grows is not enough.
        (FLAT, FLAT | {("block", "text block 1"): 0.9}, "no power", "blocks grew as width^"),
    ],
)
def test_verdicts(mup: Slopes, standard: Slopes, verdict: Verdict, reason: str) -> None:
    found = judge(rows_of(mup), rows_of(standard), len(WIDTHS) * SEEDS, STEPS)
    assert found.verdict == verdict, found.reasons
    assert any(reason in each for each in found.reasons) or not reason


def test_the_smallest_width_alone_may_be_off() -> None:
    assert judge(rows_of(FLAT, base=1.2), rows_of(GROWING), len(WIDTHS) * SEEDS, STEPS).verdict == "passed"
    assert judge(rows_of(FLAT, base=2.5), rows_of(GROWING), len(WIDTHS) * SEEDS, STEPS).verdict == "failed"


def test_a_model_that_was_lost_is_no_pass() -> None:
    found = judge(rows_of(FLAT, last_step=3), rows_of(GROWING), len(WIDTHS) * SEEDS, STEPS)
    assert found.verdict == "failed"
    assert "12 of 12 muP models were not finite after 5 steps" in found.reasons[0]
