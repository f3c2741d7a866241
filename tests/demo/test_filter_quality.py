"""The filter's figures against scikit-learn's, ties and rows without a score included."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import precision_score, recall_score, roc_auc_score

from datascaler.demo.filter_quality import filter_curve, roc_auc


def _sample(n: int, seed: int, decimals: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    rng = np.random.default_rng(seed)
    clean = rng.random(n) < 0.4
    scores = np.round(rng.normal(0.5 * clean, 0.4), decimals).astype(np.float32)
    scores[rng.random(n) < 0.05] = np.nan
    return scores, clean


@pytest.mark.parametrize("decimals", [0, 1, 6])
@pytest.mark.parametrize("seed", range(5))
def test_auc_is_sklearns(seed: int, decimals: int) -> None:
    scores, clean = _sample(400, seed, decimals)
    theirs = roc_auc_score(clean, np.nan_to_num(scores, nan=-1e9))
    assert roc_auc(scores, clean) == pytest.approx(theirs, abs=1e-12)


def test_auc_of_perfect_inverse_and_constant_scores() -> None:
    clean = np.array([True, True, False, False])
    assert roc_auc(np.array([4.0, 3.0, 2.0, 1.0]), clean) == 1.0
    assert roc_auc(np.array([1.0, 2.0, 3.0, 4.0]), clean) == 0.0
    assert roc_auc(np.zeros(4), clean) == 0.5
    assert roc_auc(np.array([-5.0, -6.0, np.nan, np.nan]), clean) == 1.0


def test_auc_needs_both_classes() -> None:
    with pytest.raises(ValueError, match="got 3 clean and 0 wrong"):
        roc_auc(np.zeros(3), np.ones(3, dtype=np.bool_))


def test_scores_and_labels_must_be_equally_long() -> None:
    with pytest.raises(ValueError, match=r"\(3,\) and \(4,\)"):
        roc_auc(np.zeros(3), np.ones(4, dtype=np.bool_))


@pytest.mark.parametrize("decimals", [1, 6])
def test_each_point_of_the_curve_is_sklearns(decimals: int) -> None:
    scores, clean = _sample(60, seed=1, decimals=decimals)
    curve = filter_curve(scores, clean)
    thresholds = np.unique(scores[~np.isnan(scores)])[::-1]
    assert len(curve.kept) == len(thresholds)
    for kept, precision, recall, threshold in zip(curve.kept, curve.precision, curve.recall, thresholds, strict=True):
        chosen = scores >= threshold
        assert kept == chosen.sum()
        assert precision == pytest.approx(precision_score(clean, chosen, zero_division=0))
        assert recall == pytest.approx(recall_score(clean, chosen))


def test_rows_without_a_score_are_never_kept() -> None:
    curve = filter_curve(np.array([np.nan, 0.5, np.nan, 0.1]), np.array([True, True, False, False]))
    assert curve.kept.tolist() == [1, 2]
    assert curve.recall.tolist() == [0.5, 0.5]


def test_nothing_scored_is_an_empty_curve() -> None:
    assert len(filter_curve(np.full(2, np.nan), np.array([True, False])).kept) == 0
