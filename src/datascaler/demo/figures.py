"""Which pictures the demo shows, and their files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from datascaler import storage
from datascaler.demo.charts import accuracy_bars, filter_curves, score_histogram
from datascaler.demo.contact_sheet import ScoredPair, contact_sheet
from datascaler.demo.draw import CLASS_NAMES
from datascaler.demo.filter_quality import Scores, roc_auc
from datascaler.demo.make_data import Recipe
from datascaler.demo.pairs import DrawnPair, PairKind

_SHOWN = 16
"""Pairs of the best and of the worst scores on the contact sheet."""


@dataclass(frozen=True, slots=True)
class Quality:
    auc: float
    precision: float


@dataclass(frozen=True, slots=True)
class PoolScores:
    """The filter's score of each pair of the pool, and what the pair really is."""

    scores: Scores
    pairs: Sequence[DrawnPair]

    def quality(self, threshold: float) -> Quality:
        kept = self.scores >= threshold
        return Quality(auc=roc_auc(self.scores, self.clean), precision=float(self.clean[kept].mean()))

    @property
    def clean(self) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
        return np.array([pair.kind == PairKind.CLEAN for pair in self.pairs])

    def ranked(self) -> list[ScoredPair]:
        """Pairs that have a score, the best first."""
        order = [number for number in np.argsort(-self.scores, kind="stable") if np.isfinite(self.scores[number])]
        return [self._scored(int(number)) for number in order]

    def _scored(self, number: int) -> ScoredPair:
        pair = self.pairs[number]
        return ScoredPair(pair.image_bytes, pair.caption, pair.kind, float(self.scores[number]))


def publish_pictures(
    output_dir: str, pool: PoolScores, threshold: float, recipe: Recipe, accuracies: Mapping[str, Sequence[float]]
) -> list[str]:
    """Write the PNGs and return their URLs."""
    ranked = pool.ranked()
    pictures = {
        "scores.png": score_histogram(pool.scores, [pair.kind for pair in pool.pairs], threshold),
        "filter.png": filter_curves(pool.scores, pool.clean, float(recipe.fraction)),
        "best_and_worst.png": contact_sheet(ranked[:_SHOWN], ranked[-_SHOWN:]),
        "accuracy.png": accuracy_bars(accuracies, 1 / len(CLASS_NAMES)),
    }
    urls = []
    for name, content in pictures.items():
        urls.append(storage.join(output_dir, name))
        storage.publish_bytes(urls[-1], content)
    return urls
