"""Published results of others: our averages of their per-task scores are theirs; and what the decision set is made of.

`openclip_results.csv` is docs/openclip_results.csv of open_clip at commit 89fb801: 121 public models on DataComp's 38
tasks. Its row `commonpool_s_image` repeats `datacomp_s`, a wrong upload, so that filter counts at small scale for none.
"""

import csv
import re
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from datascaler.errors import ConfigError
from datascaler.evaluate.published_baselines import published_baselines
from datascaler.evaluate.summary import EvalSummary, summarise
from datascaler.evaluate.tasks import DECISION_SET, Task, load_tasks, task_fields

TASKS = {task.name: task for task in load_tasks() if task.main_metric}
FILTERS = ("", "_basic", "_text", "_image", "_laion", "_clip", "datacomp")
"""In the order of the paper's table; "datacomp" is image-based and CLIP score together."""
WORST_GROUP_PARTS = {"FMoW": 22108 // 4, "Dollar Street": 4, "GeoDE": 6}
"""Into how many groups a task's images fall, of which the worst is its score."""


def _rows() -> list[dict[str, str]]:
    with (Path(__file__).parent / "openclip_results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


ROWS = _rows()


def summary_of(row: dict[str, str]) -> EvalSummary:
    records = [
        {
            "key": task.key,
            "task": task_fields(task),
            "metrics": {str(task.main_metric): float(row[name]), "main_metric": float(row[name])},
        }
        for name, task in TASKS.items()
    ]
    model = {"arch": row["name"], "weights_hash": row["pretrained"]}
    return summarise(list(TASKS.values()), records, model=model, missing=[], pending=[])


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['name']} {row['pretrained']}")
def test_averages_of_each_of_121_models_are_the_published_ones(row: dict[str, str]) -> None:
    summary = summary_of(row)
    assert summary.average_38 == pytest.approx(float(row["Average perf. on 38 datasets"]), abs=1e-4)
    assert summary.average_38 == summary.average_38_paper == summary.average
    assert (summary.scored, summary.tasks, summary.scored_38) == (38, 38, 38)
    by_hand = {
        "ImageNet": ["ImageNet 1k"],
        "IN shifts": ["ImageNet Sketch", "ImageNet v2", "ImageNet-A", "ImageNet-O", "ImageNet-R", "ObjectNet"],
        "Retrieval": ["Flickr", "MSCOCO", "WinoGAViL"],
        "VTAB": [
            *("Caltech-101", "CIFAR-100", "CLEVR Counts", "CLEVR Distance", "Describable Textures", "EuroSAT"),
            *("KITTI Vehicle Distance", "Oxford Flowers-102", "Oxford-IIIT Pet", "PatchCamelyon", "RESISC45", "SVHN"),
            "SUN397",
        ],
    }
    for group, names in by_hand.items():
        assert summary.groups[group].average == pytest.approx(np.mean([float(row[name]) for name in names]), abs=1e-12)


def test_there_are_121() -> None:
    assert len(ROWS) == 121
    assert set(ROWS[0]) - {"name", "pretrained", "params (M)", "FLOPs (B)", "Average perf. on 38 datasets"} == set(
        TASKS
    )


def released(scale: str, which: str) -> dict[str, str] | None:
    """The row of DataComp's released model of a filter; None where there is none."""
    name = f"datacomp_{scale}" if which == "datacomp" else f"commonpool_{scale}{which}"
    found = [row for row in ROWS if re.fullmatch(rf"{name}_s\w+_b\d+k", row["pretrained"])]
    return found[0] if found and name != "commonpool_s_image" else None


@pytest.mark.parametrize(
    ("scale", "strategy", "which"),
    [
        *(
            ("small", strategy, which)
            for strategy, which in (("Basic", "_basic"), ("Text", "_text"), ("CLIP", "_clip"))
        ),
        *(
            ("medium", strategy, which)
            for strategy, which in (
                *(("No", ""), ("Basic", "_basic"), ("Text", "_text"), ("Image-based", "_image"), ("LAION", "_laion")),
                *(("CLIP", "_clip"), ("Image-based ∩", "datacomp")),
            )
        ),
    ],
)
def test_the_baselines_are_what_the_released_models_reach(scale: str, strategy: str, which: str) -> None:
    """To the paper's three decimals. Of the small models three are other runs: no filter's, LAION's, both filters'."""
    listed = [each for each in published_baselines(scale) if each.strategy.startswith(strategy)]
    baseline = next(each for each in listed if ("∩" in strategy) == ("∩" in each.strategy))
    row = released(scale[0], which)
    assert row is not None
    summary = summary_of(row)
    averages = {name: group.average for name, group in summary.groups.items()} | {"average_38": summary.average_38}
    for name, value in baseline.averages.items():
        assert averages[name] == pytest.approx(value, abs=7e-4), name


def test_seven_baselines_a_scale() -> None:
    assert [len(published_baselines(scale)) for scale in ("small", "medium")] == [7, 7]
    with pytest.raises(ConfigError, match="are there for the scales small, medium, not for 'large'"):
        published_baselines("large")


# ---- the decision set


def scores(scale: str, name: str) -> np.ndarray:
    return np.array([float(row[name]) for which in FILTERS if (row := released(scale, which))])


def chance(task: Task) -> float:
    return task.random_score or 1 / (task.num_classes or task.size)


def sampling_errors(scale: str, name: str) -> float:
    """Standard deviation over filters, in those of a mean over the task's images."""
    found = scores(scale, name)
    mean, images = found.mean(), TASKS[name].size / WORST_GROUP_PARTS.get(name, 1)
    return float(found.std(ddof=1) / np.sqrt(mean * (1 - mean) / images))


def test_the_decision_set_is_what_tells_filters_apart() -> None:
    chosen = [
        task.key
        for name, task in TASKS.items()
        if min(sampling_errors("s", name), sampling_errors("m", name)) >= 4
        and scores("s", name).min() > chance(task)
        and scores("m", name).min() > scores("s", name).max()
    ]
    assert tuple(chosen) == DECISION_SET


def agreement(one: Iterable[float], other: Iterable[float]) -> float:
    """Kendall's tau without ties."""
    pairs = list(combinations(zip(one, other, strict=True), 2))
    signs = [np.sign((a[0] - b[0]) * (a[1] - b[1])) for a, b in pairs]
    return float(np.mean(signs))


@pytest.mark.parametrize(
    ("scale", "larger", "of_38", "of_set"), [("s", "m", 0.467, 0.6), ("s", "l", 0.333, 0.467), ("m", "l", 0.81, 0.81)]
)
def test_it_orders_published_filters_at_a_larger_scale_no_worse(
    scale: str, larger: str, of_38: float, of_set: float
) -> None:
    """No blind test: of eight thresholds the 4 was kept after seeing these figures; 2 to 6 do no worse from small.

    Six filters at small scale are few: a pair is worth 0.13.
    """
    both = [which for which in FILTERS if released(scale, which) and released(larger, which)]
    small, large = ([summary_of(row) for which in both if (row := released(where, which))] for where in (scale, larger))
    target = [summary.average_38 or 0 for summary in large]
    assert agreement([summary.average_38 or 0 for summary in small], target) == pytest.approx(of_38, abs=1e-3)
    assert agreement([summary.decision_set.average or 0 for summary in small], target) == pytest.approx(
        of_set, abs=1e-3
    )
    assert {(summary.decision_set.scored, summary.decision_set.tasks) for summary in small} == {(14, 14)}
