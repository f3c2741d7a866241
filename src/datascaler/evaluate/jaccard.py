"""The scores of WinoGAViL's puzzles, by how many candidates they have."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from datascaler.evaluate.group_metrics import Ints, Metrics

_CUTS: dict[str, Callable[[Ints], NDArray[np.bool_]]] = {
    "avg_jaccard_score": lambda candidates: candidates > 0,
    "jaccard_score_5": lambda candidates: candidates == 5,
    "jaccard_score_6": lambda candidates: candidates == 6,
    "jaccard_score_10": lambda candidates: candidates == 10,
    "jaccard_score_12": lambda candidates: candidates == 12,
    "jaccard_score_5-6": lambda candidates: candidates <= 6,
    "jaccard_score_10-12": lambda candidates: candidates >= 10,
}
"""Metric -> of which puzzles it is the mean, by their number of candidates."""


def jaccard(associations: Ints, found: Ints) -> NDArray[np.float64]:
    """What both of two sets of the same size have, in parts of what either has."""
    shares: NDArray[np.float64] = found / (2 * associations - found)
    return shares


def jaccard_metrics(candidates: Ints, scores: NDArray[np.float64]) -> Metrics:
    """The mean score of all puzzles, and by how many candidates they have; None where there is none."""
    parts = {name: scores[within(candidates)] for name, within in _CUTS.items()}
    return {name: float(part.mean()) if len(part) else None for name, part in parts.items()}


def puzzles_of(metric: str, candidates: Ints) -> NDArray[np.bool_]:
    """Which puzzles a metric is the mean of."""
    return _CUTS[metric](candidates)
