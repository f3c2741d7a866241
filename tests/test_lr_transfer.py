"""The verdict of `make lr-transfer`, on tables whose verdict is known: those of a published kind of experiment."""

from typing import Literal

from benchmarks.lr_transfer import AT_LEAST, AT_MOST, STOP_ABOVE, Tables, judged, loss_excess
from datascaler.data.runs.sweep_results import SweepPoint, SweepResult
from datascaler.errors import EarlyEnd

Losses = dict[int, tuple[float | None, ...]]
STANDARD: Losses = {
    2: (1.920, 1.335, 1.168, 2.104, 3.888),
    4: (1.014, 0.774, 1.631, 3.701, None),
    8: (0.568, 1.075, 2.511, None, None),
}
MUP: Losses = {
    2: (2.218, 1.491, 1.349, 1.664, 3.596),
    4: (1.169, 0.660, 0.496, 0.774, 2.759),
    8: (0.677, 0.409, 0.334, 0.430, None),
}
"""Losses of a small CLIP at rates of 2^-12 to 2^-8, by width."""


def table(losses: tuple[float | None, ...], spread: float = 0.0) -> SweepResult:
    """Two seeds, `spread` apart; what has no loss was given up."""
    points = []
    for place, loss in zip(range(-12, -7), losses, strict=True):
        for seed in range(2):
            own = None if loss is None else loss + spread * (seed - 0.5)
            ended: EarlyEnd | Literal[""] = "given up" if loss is None else ""
            points.append(SweepPoint(2.0**place, 0.2, 1, "run", own, seed=seed, ended=ended))
    points.sort(key=lambda point: 99.0 if point.train_loss is None else point.train_loss)
    return SweepResult(points, "sweep.json")


def tables(**kinds: Losses) -> Tables:
    return {(kind, width): table(losses) for kind, rows in kinds.items() for width, losses in rows.items()}


def is_met(found: dict[str, float], name: str) -> bool:
    return found[name] >= AT_LEAST[name] if name in AT_LEAST else found[name] <= AT_MOST[name]


def test_the_optimum_that_moves_is_told_from_the_one_that_stays() -> None:
    found = judged(tables(standard=STANDARD, mup=MUP, mup_shorter=MUP))
    assert all(is_met(found, name) for name in (*AT_LEAST, *AT_MOST)), found
    assert found["standard_shift"] > 1.4
    assert found["mup_shift"] < 0.5
    swapped = judged(tables(standard=MUP, mup=STANDARD, mup_shorter=STANDARD))
    assert not any(is_met(swapped, name) for name in (*AT_LEAST, *AT_MOST)), swapped


def test_the_excess_is_counted_in_what_seeds_alone_do() -> None:
    losses = (3.0, 1.02, 1.0, 1.5, 3.0)
    assert round(loss_excess(table(losses), -11), 6) == 2.0
    # Two deviations of a seed: 2 * 0.05 / sqrt(2).
    assert round(loss_excess(table(losses, spread=0.05), -11), 6) == round(0.02 / (2 * 0.05 / 2**0.5), 6)
    assert loss_excess(table((None, 1.02, 1.0, 1.5, 3.0)), -12) == STOP_ABOVE * 100
