"""Intervals against rows that are drawn again by hand, for every metric that a task can have."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import f1_score, recall_score

from datascaler.evaluate.group_metrics import OTHER_REGION
from datascaler.evaluate.resample import interval, measure_of, resample
from datascaler.evaluate.tasks import load_tasks

COUNT, CLASSES, GROUPS = 300, 7, 6
Rows = dict[str, Any]


def answers(seed: int) -> Rows:
    """Columns of samples, as evaluation writes them."""
    draw = np.random.default_rng(seed)
    label = draw.integers(0, CLASSES, COUNT)
    rank = draw.integers(1, CLASSES + 1, COUNT)
    prediction = np.where(rank == 1, label, (label + draw.integers(1, CLASSES, COUNT)) % CLASSES)
    return {"label": label, "rank": rank, "prediction": prediction, "group": draw.integers(0, GROUPS, COUNT)}


def puzzles(seed: int) -> Rows:
    draw = np.random.default_rng(seed)
    candidates = draw.choice([5, 6, 10, 12], COUNT)
    associations = draw.integers(1, 5, COUNT)
    return {"candidates": candidates, "associations": associations, "found": draw.integers(0, associations + 1)}


def captioned(seed: int) -> Rows:
    draw = np.random.default_rng(seed)
    own = [draw.integers(1, 8, draw.integers(1, 6)).tolist() for _ in range(COUNT)]
    return {"rank": draw.integers(1, 8, COUNT), "caption_ranks": own}


def _worst(hits: np.ndarray, group: np.ndarray) -> float:
    return float(min(hits[group == value].mean() for value in np.unique(group)))


def _image_recall(rows: Rows, picked: np.ndarray, cut: int) -> float:
    return float(np.mean(np.concatenate([rows["caption_ranks"][row] for row in picked]) <= cut))


def _jaccard(rows: Rows, picked: np.ndarray) -> float:
    scores = []
    for row in picked[rows["candidates"][picked] >= 10]:
        goes, found = int(rows["associations"][row]), int(rows["found"][row])
        truth, chosen = set(range(goes)), set(range(goes - found, 2 * goes - found))
        scores.append(len(truth & chosen) / len(truth | chosen))
    return float(np.mean(scores))


BY_HAND: dict[str, tuple[Callable[[int], Rows], Callable[[Rows, np.ndarray], float]]] = {
    "acc1": (answers, lambda rows, at: float((rows["rank"][at] == 1).mean())),
    "acc5": (answers, lambda rows, at: float((rows["rank"][at] <= 5).mean())),
    "mean_per_class_recall": (
        answers,
        lambda rows, at: recall_score(
            rows["label"][at], rows["prediction"][at], average="macro", labels=np.unique(rows["label"][at])
        ),
    ),
    "F1-macro_all": (
        answers,
        lambda rows, at: f1_score(
            rows["label"][at], rows["prediction"][at], average="macro", labels=np.unique(rows["label"][at])
        ),
    ),
    "acc_wg": (answers, lambda rows, at: _worst(rows["rank"][at] == 1, rows["group"][at])),
    "acc_top5_wg": (answers, lambda rows, at: _worst(rows["rank"][at] <= 5, rows["group"][at])),
    "acc_worst_named_region": (
        answers,
        lambda rows, at: _worst(
            rows["rank"][at][rows["group"][at] != OTHER_REGION] == 1,
            rows["group"][at][rows["group"][at] != OTHER_REGION],
        ),
    ),
    "text_retrieval_recall@5": (captioned, lambda rows, at: float((rows["rank"][at] <= 5).mean())),
    "image_retrieval_recall@5": (captioned, lambda rows, at: _image_recall(rows, at, 5)),
    "mean_recall@1": (
        captioned,
        lambda rows, at: (float((rows["rank"][at] <= 1).mean()) + _image_recall(rows, at, 1)) / 2,
    ),
    "jaccard_score_10-12": (puzzles, _jaccard),
}


@pytest.mark.parametrize("metric", BY_HAND)
def test_replicates_are_the_metric_of_rows_drawn_again(metric: str) -> None:
    make, by_hand = BY_HAND[metric]
    rows = make(3)
    found = resample(metric, [pa.table(rows)], name="task", resamples=2000)
    assert found is not None
    everything = np.arange(COUNT)
    assert found.scores[0] == pytest.approx(by_hand(rows, everything), abs=1e-12)
    draw = np.random.default_rng(12)
    drawn = [by_hand(rows, draw.integers(0, COUNT, COUNT)) for _ in range(100)]
    # Of 100 by hand the mean is known to a tenth of their deviation, and that to a fourteenth of itself.
    assert found.replicates[0].mean() == pytest.approx(np.mean(drawn), abs=0.35 * float(np.std(drawn)))
    assert found.replicates[0].std() == pytest.approx(np.std(drawn), rel=0.25)
    low, high = interval(found.replicates[0])
    assert low < found.scores[0] < high or metric.startswith(("acc_w", "acc_top5_w"))


def test_every_main_metric_of_datacomp_has_intervals() -> None:
    metrics = {task.main_metric for task in load_tasks() if task.main_metric} | {"acc_worst_named_region"}
    assert len(metrics) == 9
    assert all(measure_of(metric) for metric in metrics)
    assert measure_of("acc_slide:20") is None


def test_an_interval_of_accuracy_holds_the_truth_as_often_as_it_says() -> None:
    """Of 300 sets drawn with a known accuracy, 95% of the intervals are around it."""
    draw = np.random.default_rng(5)
    held = 0
    for number in range(300):
        table = pa.table({"rank": np.where(draw.random(500) < 0.3, 1, 2)})
        found = resample("acc1", [table], name=str(number), resamples=400)
        assert found is not None
        low, high = interval(found.replicates[0])
        held += low <= 0.3 <= high
    assert 0.92 <= held / 300 <= 0.98


def test_models_are_drawn_together_and_the_same_draw_comes_again() -> None:
    first, second = (pa.table(answers(seed) | {"label": answers(0)["label"]}) for seed in (0, 1))
    once, again = (resample("acc1", [first, first], name="a", resamples=50) for _ in range(2))
    assert once is not None
    assert again is not None
    assert (once.replicates[0] == once.replicates[1]).all()
    assert (once.replicates == again.replicates).all()
    other = resample("acc1", [first, second], name="b", resamples=50)
    assert other is not None
    assert (other.replicates[0] != once.replicates[0]).any()


def test_rows_without_an_answer_are_left_out_and_none_is_no_interval() -> None:
    ranks = pa.array([1, None, 2, 2], pa.int32())
    found = resample("acc1", [pa.table({"rank": ranks})], name="a")
    assert found is not None
    assert found.scores[0] == pytest.approx(1 / 3)
    assert resample("acc1", [pa.table({"rank": pa.array([None], pa.int32())})], name="a") is None
    assert resample("acc1", [None], name="a") is None
