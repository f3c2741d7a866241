"""Noise: how far two runs are apart that differ in their seed alone."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from datascaler.forecasting.ladder import LadderRun
from datascaler.forecasting.published import METRICS, datacomp_filters

_TWINS = {
    ("CLIP B32 score top 20%", "CLIP B32 threshold at 0.3"): ("small", "medium", "large"),
    ("CLIP B32 score top 30%", "CLIP B32 score 1% to 30%"): ("small", "medium"),
}
"""Published filters that keep the same samples but for a few in a hundred, and the scales at which both were run."""
_RELEASED = {"imagenet": (0.025, 0.0270), "average": (0.133, 0.1420)}
"""No filter at small: in DataComp's table, and as its released checkpoint scores (open_clip's results at 89fb801)."""
_PUBLISHED_WEIGHT = 4
"""The published spread counts as much as so many degrees of freedom of the user's own seeds."""


@dataclass(frozen=True, slots=True)
class Noise:
    spread: float
    """Standard deviation of a run's metric over seeds, as a part of 1."""
    source: str
    """Where it is from, for people."""


def noise_of(runs: Sequence[LadderRun], values: Mapping[str, float], metric: str | None) -> Noise:
    """The noise of runs that share all but the seed and of published pairs: the fewer seeds, the more of those.

    metric: the one of DataComp's table that the values are, if any.
    """
    groups: dict[object, list[float]] = defaultdict(list)
    for run in runs:
        groups[run.filter, run.point].append(values[run.url])
    repeated = [np.array(group) for group in groups.values() if len(group) > 1]
    freedom = sum(len(group) - 1 for group in repeated)
    squares = float(sum(((group - group.mean()) ** 2).sum() for group in repeated))
    name = metric or "average"
    published, pairs = published_spread(name)
    spread = np.sqrt((squares + _PUBLISHED_WEIGHT * published**2) / (freedom + _PUBLISHED_WEIGHT))
    source = f"{pairs} published pairs of nearly equal filters ({name})"
    if freedom:
        seeds = f"{sum(map(len, repeated))} runs that differ in their seed only, at {len(repeated)} points"
        source = f"{seeds}, and {source}"
    return Noise(float(spread), source)


def published_spread(metric: str) -> tuple[float, int]:
    """Standard deviation over published runs that ought to be equal, and how many pairs it is from."""
    table = datacomp_filters()
    column = METRICS.index(metric)
    pairs = [
        [table[scale][name].scores[column] for name in names] for names, scales in _TWINS.items() for scale in scales
    ]
    pairs += [list(_RELEASED[metric])] if metric in _RELEASED else []
    apart = np.diff(np.array(pairs), axis=1)
    return float(np.sqrt((apart**2).mean() / 2)), len(pairs)
