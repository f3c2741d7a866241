"""How well scores tell the clean pairs of the demo's pool from the wrong ones, which are known because it drew them.

A pair that could not be scored (a broken file) has the score NaN. It is never kept, so it ranks below every number.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.floating]
"""[n]; NaN where the pair could not be scored."""


@dataclass(frozen=True, slots=True)
class FilterCurve:
    """One point per distinct score, from the strictest threshold to keeping everything that has a score."""

    kept: NDArray[np.int64]
    """How many pairs score at least the threshold."""
    precision: NDArray[np.float64]
    """Clean share of what is kept."""
    recall: NDArray[np.float64]
    """Kept share of what is clean."""


def roc_auc(scores: Scores, clean: NDArray[np.bool_]) -> float:
    """The chance that a clean pair outranks a wrong one, ties counting half (Mann-Whitney's U, scaled)."""
    n_clean, n_wrong = _class_sizes(scores, clean)
    ranks = _mid_ranks(_with_bad_last(scores))
    wins = float(ranks[clean].sum()) - n_clean * (n_clean + 1) / 2
    return wins / (n_clean * n_wrong)


def filter_curve(scores: Scores, clean: NDArray[np.bool_]) -> FilterCurve:
    n_clean, _ = _class_sizes(scores, clean)
    scored = np.flatnonzero(~np.isnan(scores))
    order = scored[np.argsort(-scores[scored], kind="stable")]
    falling = scores[order]
    # Pairs of one score are kept or dropped together, so only the last of each run is a point.
    last = np.flatnonzero(np.append(falling[1:] != falling[:-1], True)) if len(order) else np.empty(0, dtype=np.int64)
    kept = (last + 1).astype(np.int64)
    clean_kept = np.cumsum(clean[order])[last]
    return FilterCurve(kept=kept, precision=clean_kept / kept, recall=clean_kept / n_clean)


def _class_sizes(scores: Scores, clean: NDArray[np.bool_]) -> tuple[int, int]:
    if scores.shape != clean.shape or scores.ndim != 1:
        raise ValueError(f"scores and labels must be equally long rows, got shapes {scores.shape} and {clean.shape}")
    n_clean = int(clean.sum())
    n_wrong = len(clean) - n_clean
    if not n_clean or not n_wrong:
        raise ValueError(f"both clean and wrong pairs are needed, got {n_clean} clean and {n_wrong} wrong")
    return n_clean, n_wrong


def _with_bad_last(scores: Scores) -> Scores:
    return np.where(np.isnan(scores), -np.inf, scores)


def _mid_ranks(values: Scores) -> NDArray[np.float64]:
    """Ranks from 1; equal values share the mean of their ranks."""
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    above: NDArray[np.float64] = np.cumsum(counts) - (counts - 1) / 2
    return above[group]
