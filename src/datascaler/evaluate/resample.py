"""How far a score could be off because the images of a task are a sample: bootstrap over the rows of `eval_samples`.

A main metric depends on how often each distinct kind of sample occurs (say: class 3, answered rightly), and on nothing
else. So a replicate, which draws as many samples as there are with replacement, is one multinomial draw of these
numbers. Several models that answered the same samples are drawn together, so differences between them are paired.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datascaler.evaluate.group_metrics import OTHER_REGION, Ints
from datascaler.evaluate.jaccard import jaccard, puzzles_of
from datascaler.tools.random_streams import random_stream

Floats = NDArray[np.float64]

RESAMPLES = 1000
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Measure:
    """A metric as a function of how often each kind of sample occurs."""

    columns: Callable[[Any], list[Ints]]
    """What a table of samples says of a sample, as far as the metric needs it."""
    score: Callable[[Ints, Floats], Floats]
    """(kinds [c, columns], how often each occurs [r, c]) -> the metric of each of r replicates."""


@dataclass(frozen=True, slots=True)
class Resampled:
    """A metric of several models on the same samples: as it is, [models], and in each replicate, [models,
    replicates]."""

    scores: Floats
    replicates: Floats


def resample(
    metric: str, tables: Sequence[Any], *, name: str, resamples: int = RESAMPLES, seed: int = 0
) -> Resampled | None:
    """Replicates of a metric for models that answered the same samples; None for a metric that is not known here.

    tables: their `eval_samples` (pyarrow), in one order. Samples that one of them lacks an answer for are left out.
    name: of the task, whose draws are its own.
    """
    measure = measure_of(metric)
    if measure is None or any(table is None for table in tables):
        return None
    answered = np.logical_and.reduce([_answered(table) for table in tables])
    columns = [measure.columns(table) for table in tables]
    width = len(columns[0])
    rows = np.stack([column for of_model in columns for column in of_model], axis=1)[answered]
    if not len(rows):
        return None
    kinds, counts = np.unique(rows, axis=0, return_counts=True)
    draws = random_stream(seed, name)
    drawn = draws.multinomial(len(rows), counts / len(rows), size=resamples).astype(np.float64)
    parts = [kinds[:, model * width : (model + 1) * width] for model in range(len(tables))]
    return Resampled(
        np.array([measure.score(part, counts[None].astype(np.float64))[0] for part in parts]),
        np.stack([measure.score(part, drawn) for part in parts]),
    )


def interval(replicates: Floats) -> tuple[float, float]:
    """The middle part of the replicates, of the size CONFIDENCE."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(replicates, [tail, 1 - tail])
    return float(low), float(high)


def measure_of(metric: str) -> Measure | None:
    recall = re.fullmatch(r"(image|text)_retrieval_recall@(\d+)", metric)
    if recall:
        return _recall(int(recall[2]), image=recall[1] == "image")
    jaccard = re.fullmatch(r"(?:avg_)?jaccard_score(?:_([-\d]+))?", metric)
    if jaccard:
        return Measure(_ints("candidates", "associations", "found"), _mean_jaccard(metric))
    return _MEASURES.get(metric)


def _ints(*names: str) -> Callable[[Any], list[Ints]]:
    return lambda table: [_column(table, name) for name in names]


def _with_hits(name: str | None, cut: int = 1) -> Callable[[Any], list[Ints]]:
    """A column, and whether the true class is among the first `cut`."""
    return lambda table: [*([_column(table, name)] if name else []), (_column(table, "rank") <= cut).astype(np.int64)]


def _mean(kinds: Ints, drawn: Floats) -> Floats:
    scores: Floats = drawn @ kinds[:, 0] / drawn.sum(axis=1)
    return scores


def _mean_over_classes(kinds: Ints, drawn: Floats) -> Floats:
    seen, hits = _sums(drawn, kinds[:, 0]), _sums(drawn * kinds[:, 1], kinds[:, 0])
    return _mean_of(hits, seen)


def _worst(without: int | None = None) -> Callable[[Ints, Floats], Floats]:
    """The lowest accuracy of any group that was drawn, but for one."""

    def score(kinds: Ints, drawn: Floats) -> Floats:
        kept = kinds[:, 0] != without if without is not None else np.ones(len(kinds), bool)
        if not kept.any():
            return np.full(len(drawn), np.nan)
        seen = _sums(drawn[:, kept], kinds[kept, 0])
        hits = _sums(drawn[:, kept] * kinds[kept, 1], kinds[kept, 0])
        shares = np.divide(hits, seen, out=np.full_like(hits, np.inf), where=seen > 0)
        worst: Floats = shares.min(axis=1)
        return np.where(np.isfinite(worst), worst, np.nan)

    return score


def _macro_f1(kinds: Ints, drawn: Floats) -> Floats:
    classes = np.unique(kinds[:, 0])
    labels, said = kinds[:, [0]] == classes, kinds[:, [1]] == classes
    seen, hits = drawn @ labels, drawn @ (labels & said)
    return _mean_of(2 * hits, seen + drawn @ said, where=seen > 0)


def _mean_jaccard(metric: str) -> Callable[[Ints, Floats], Floats]:
    def score(kinds: Ints, drawn: Floats) -> Floats:
        candidates, associations, found = kinds.T
        drawn = drawn * puzzles_of(metric, candidates)
        with np.errstate(invalid="ignore"):
            shares: Floats = drawn @ jaccard(associations, found) / drawn.sum(axis=1)
        return shares

    return score


def _recall(cut: int, *, image: bool) -> Measure:
    def columns(table: Any) -> list[Ints]:
        if not image:
            return _with_hits(None, cut)(table)
        ranks = table["caption_ranks"].combine_chunks()
        lengths = ranks.value_lengths().fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
        hits = np.concatenate([[0], np.cumsum(ranks.flatten().to_numpy() <= cut)])
        ends = np.cumsum(lengths)
        return [hits[ends] - hits[ends - lengths], lengths]

    def score(kinds: Ints, drawn: Floats) -> Floats:
        if not image:
            return _mean(kinds, drawn)
        shares: Floats = drawn @ kinds[:, 0] / (drawn @ kinds[:, 1])
        return shares

    return Measure(columns, score)


def _mean_recall() -> Measure:
    text, image = _recall(1, image=False), _recall(1, image=True)
    return Measure(
        lambda table: text.columns(table) + image.columns(table),
        lambda kinds, drawn: 0.5 * (text.score(kinds[:, :1], drawn) + image.score(kinds[:, 1:], drawn)),
    )


_ACCURACY = Measure(_with_hits(None), _mean)
_TOP5 = Measure(_with_hits(None, cut=5), _mean)
_BY_CLASS = Measure(_with_hits("label"), _mean_over_classes)
_WORST = Measure(_with_hits("group"), _worst())
_MEASURES = {
    "acc1": _ACCURACY,
    "acc_avg": _ACCURACY,
    "acc5": _TOP5,
    "acc_top5_avg": _TOP5,
    "mean_per_class_recall": _BY_CLASS,
    "recall-macro_all": _BY_CLASS,
    "F1-macro_all": Measure(_ints("label", "prediction"), _macro_f1),
    "acc_wg": _WORST,
    "acc_worst_region": _WORST,
    "acc_worst_named_region": Measure(_with_hits("group"), _worst(without=OTHER_REGION)),
    "acc_top5_wg": Measure(_with_hits("group", cut=5), _worst()),
    "mean_recall@1": _mean_recall(),
}


def _column(table: Any, name: str) -> Ints:
    values: Ints = table[name].combine_chunks().fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    return values


def _answered(table: Any) -> NDArray[np.bool_]:
    """The samples that were evaluated: of the others the image did not decode."""
    name = "found" if "found" in table.column_names else "rank"
    valid: NDArray[np.bool_] = table[name].is_valid().to_numpy(zero_copy_only=False)
    return valid


def _sums(drawn: Floats, groups: Ints) -> Floats:
    """[r, c] -> [r, g], the columns of each group added."""
    sums: Floats = drawn @ (groups[:, None] == np.unique(groups))
    return sums


def _mean_of(parts: Floats, wholes: Floats, where: NDArray[np.bool_] | None = None) -> Floats:
    """The mean of parts / wholes over the columns where something was drawn."""
    used = wholes > 0 if where is None else where
    shares = np.divide(parts, wholes, out=np.zeros_like(parts), where=used)
    means: Floats = shares.sum(axis=1) / used.sum(axis=1)
    return means
