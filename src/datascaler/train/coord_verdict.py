"""What the sizes of a coordinate check say: how they grow with width, and whether that is muP's."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from datascaler.train.coord_measure import Coordinate, Kind

SLOPES: dict[Kind, tuple[float, float]] = {
    "block": (-0.30, 0.15),
    "feature": (-0.30, 0.15),
    "direction": (-0.15, 0.15),
    # By 1/d and by the size of the embedding these begin at -0.5, and rise as the model learns.
    "attention": (-0.60, 0.15),
}
"""What the exponent of width may be. A cosine is not judged: once pairs are learnt it is no matter of width."""
WITHOUT_SMALLEST = 0.15
"""The most that sizes of blocks and features may grow or shrink above the base, which is the least sure width."""
GROWTH_OF_STANDARD = 0.5
"""What the control must show by step 2, or else the check could not have seen anything."""
_CONTROL_STEPS = 2

Verdict = Literal["passed", "failed", "no power"]


@dataclass(frozen=True, slots=True)
class Slope:
    """The exponent of width in the size of one thing at one step."""

    kind: Kind
    name: str
    step: int
    slope: float
    without_smallest: float

    @property
    def is_within(self) -> bool:
        low, high = SLOPES.get(self.kind, (-np.inf, np.inf))
        flat = self.kind not in ("block", "feature") or abs(self.without_smallest) <= WITHOUT_SMALLEST
        # A slope that is not a number is within nothing.
        return bool(self.kind not in SLOPES or low <= self.slope <= high) and flat


@dataclass(frozen=True, slots=True)
class CoordVerdict:
    verdict: Verdict
    reasons: list[str]
    """Why it is not passed."""
    growth_of_standard: float
    """The control: the smaller of the two towers' largest slopes of block outputs by step 2."""


def slopes_of(rows: Iterable[Coordinate]) -> list[Slope]:
    """Least-squares slopes of log size over log width, of the means over seeds of log sizes."""
    logs: dict[tuple[Kind, str, int], dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        logs[row.kind, row.name, row.step][row.width_mult].append(float(np.log(max(row.size, 1e-30))))
    slopes = []
    for (kind, name, step), of_width in logs.items():
        widths = sorted(of_width)
        x = np.log(widths)
        y = np.array([np.mean(of_width[width]) for width in widths])
        slopes.append(Slope(kind, name, step, _slope(x, y), _slope(x[1:], y[1:])))
    return slopes


def judge(mup: Sequence[Coordinate], standard: Sequence[Coordinate], runs: int, steps: int) -> CoordVerdict:
    """Judge the slopes of muP, where the same slopes of the standard parametrisation show what a wrong one looks like.

    runs: models that were trained under each; one that was not finite has fewer rows.
    """
    reasons = []
    whole = sum(1 for row in mup if row.kind == "cosine" and row.step == steps)
    if whole < runs:
        reasons.append(f"{runs - whole} of {runs} muP models were not finite after {steps} steps: try a lower --lr")
    reasons += [
        f"{each.name} at step {each.step}: size goes as width^{each.slope:+.2f}, and without the smallest width as "
        f"width^{each.without_smallest:+.2f}"
        for each in slopes_of(mup)
        if not each.is_within
    ]
    growth = _growth(slopes_of(standard))
    if reasons:
        return CoordVerdict("failed", reasons, growth)
    if not growth > GROWTH_OF_STANDARD:
        reason = (
            f"under the standard parametrisation blocks grew as width^{growth:+.2f} by step {_CONTROL_STEPS}, not by "
            f"more than {GROWTH_OF_STANDARD}: a wrong parametrisation would have passed too; try a higher --lr"
        )
        return CoordVerdict("no power", [reason], growth)
    return CoordVerdict("passed", [], growth)


def _growth(slopes: Iterable[Slope]) -> float:
    largest: dict[str, float] = {}
    for each in slopes:
        if each.kind == "block" and each.step <= _CONTROL_STEPS:
            tower = each.name.split()[0]
            largest[tower] = max(largest.get(tower, -np.inf), each.slope)
    return min(largest.values(), default=-np.inf)


def _slope(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    x = x - x.mean()
    return float(x @ (y - y.mean()) / (x @ x)) if len(x) > 1 else 0.0
