"""What draws of the metric decide: intervals, pairs, the best, expected regret, and a verdict in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Literal

import numpy as np

from datascaler.forecasting.published import Array

SURE = 0.975
"""Probability at which a filter counts as better than another."""

Decision = Literal["pick", "tie", "unpredictable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterForecast:
    filter: str
    predicted: float | None
    """The metric at the target; None, as the four bounds, where only the order can be told."""
    low80: float | None
    high80: float | None
    low95: float | None
    high95: float | None
    best_probability: float
    """That no other filter is better."""
    expected_regret: float
    """What picking it loses, on average, against the filter that turns out best."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairForecast:
    filter: str
    other: str
    beats_by_margin: float
    """Probability that `filter` is better than `other` by more than the margin."""
    better: float
    """Probability that it is better at all."""


def filter_forecasts(names: Sequence[str], expected: Array, runs: Array, *, knows_level: bool) -> list[FilterForecast]:
    """Best first: the least expected regret.

    expected: draws of the mean over seeds, which decide; runs: of a single run, which the intervals are of.
    """
    best = expected.argmax(1)
    regret = (expected.max(1, keepdims=True) - expected).mean(0)
    bounds = np.quantile(runs, [0.1, 0.9, 0.025, 0.975], axis=0)
    middle = np.median(expected, axis=0)
    found = []
    for place in np.argsort(regret, kind="stable"):
        known = [middle[place], *bounds[:, place]] if knows_level else [None] * 5
        predicted, low80, high80, low95, high95 = [None if value is None else float(value) for value in known]
        found.append(
            FilterForecast(
                filter=names[place],
                predicted=predicted,
                low80=low80,
                high80=high80,
                low95=low95,
                high95=high95,
                best_probability=float(np.mean(best == place)),
                expected_regret=float(regret[place]),
            )
        )
    return found


def pair_forecasts(names: Sequence[str], expected: Array, margin: float) -> list[PairForecast]:
    """Both ways round."""
    return [
        PairForecast(
            filter=names[one],
            other=names[other],
            beats_by_margin=float(np.mean(expected[:, one] - expected[:, other] > margin)),
            better=float(np.mean(expected[:, one] > expected[:, other])),
        )
        for one, other in permutations(range(len(names)), 2)
    ]


def rivals_of(best: FilterForecast, pairs: Sequence[PairForecast]) -> list[str]:
    """The filters that can't be told apart from the best one."""
    return [pair.other for pair in pairs if pair.filter == best.filter and pair.better < SURE]


def verdict_on(filters: Sequence[FilterForecast], pairs: Sequence[PairForecast], margin: float) -> tuple[Decision, str]:
    """What to do, in words."""
    best = filters[0]
    if len(filters) == 1:
        return "pick", f"{best.filter} is the only filter: {_level(best)}"
    rivals = rivals_of(best, pairs)
    if not rivals:
        surely = min(pair.better for pair in pairs if pair.filter == best.filter)
        return "pick", f"pick {best.filter}: it beats each of the others with {_at_least(surely)}. {_level(best)}"
    losers = [(pair.other, pair.better) for pair in pairs if pair.filter == best.filter and pair.other not in rivals]
    text = f"{_listed([best.filter, *rivals])} can't be told apart"
    if losers:
        are = "is" if len(losers) == 1 else "are"
        text += f"; {_listed([name for name, _ in losers])} {are} worse with "
        text += _at_least(min(better for _, better in losers))
    regret = best.expected_regret
    matters = "less than the margin, so either will do" if regret < margin else "more than the margin"
    text += f". {best.filter} has the least expected regret, {regret:.4f}: {matters}. {_level(best)}"
    return "tie", text


def _at_least(probability: float) -> str:
    return "more than 99%" if probability > 0.99 else f"at least {np.floor(100 * probability):.0f}%"


def _level(best: FilterForecast) -> str:
    if best.predicted is None:
        return "How good it will be can't be told from these runs, only the order."
    between = f"80% between {best.low80:.3f} and {best.high80:.3f}"
    return f"A run of {best.filter} is expected at {best.predicted:.3f}, {between}."


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
