"""The metrics of tasks whose samples carry metadata (KEY.npy): accuracy by group as WILDS has it, and macro averages.

Names and order are those of DataComp's results. A group without a sample has no accuracy (null) and a count of 0, and
is never the worst.
"""

from collections.abc import Callable, Mapping
from math import prod

import numpy as np
from numpy.typing import NDArray

from datascaler.errors import ConfigError

Metrics = dict[str, float | None]
Ints = NDArray[np.int64]

OTHER_REGION = 5
"""FMoW's number for "Other", of which there are 4 images. WILDS leaves it out of the worst region; DataComp means to,
but knows regions by number only, so that its `acc_worst_region` is mostly the accuracy on these 4."""

GROUP_FIELDS: dict[str, tuple[str, ...]] = {
    "wilds/camelyon17": ("hospital", "slide"),
    "wilds/fmow": ("region", "year"),
    "fairness/dollar_street": ("income_ds",),
    "fairness/geode": ("region",),
}
"""Task -> the first fields of its samples' metadata, as many as its metrics need."""

GROUP_OF = {
    "wilds/camelyon17": "slide",
    "wilds/fmow": "region",
    "fairness/dollar_street": "income_ds",
    "fairness/geode": "region",
}
"""Task -> the field of the groups whose worst is reported."""

_MOST_GROUPS = 1 << 16


def group_metrics(key: str, labels: Ints, predictions: Ints, ranks: Ints, fields: Mapping[str, Ints]) -> Metrics:
    """What DataComp adds to the metrics of a classification task; nothing for a task without metadata.

    ranks: of each image's true class, from 1. fields: the metadata, a column a field.
    """
    if not len(labels) or key not in _EXTRA:
        return {}
    return _EXTRA[key](labels, predictions, ranks, fields)


def accuracy_by_group(name: str, hits: NDArray[np.bool_], groups: Mapping[str, Ints]) -> Metrics:
    """NAME_avg; for each combination of the fields' values NAME_FIELD:VALUE and count_FIELD:VALUE; NAME_wg, the
    worst."""
    sizes = [int(values.max()) + 1 for values in groups.values()]
    if prod(sizes) > _MOST_GROUPS:
        raise ConfigError(
            f"the metadata has {prod(sizes):,} groups by {' and '.join(groups)}, more than {_MOST_GROUPS:,}"
        )
    places = np.ravel_multi_index(tuple(groups.values()), sizes)
    counts = np.bincount(places, minlength=prod(sizes))
    sums = np.bincount(places, weights=hits, minlength=prod(sizes))
    metrics: Metrics = {f"{name}_avg": float(hits.mean())}
    for place, (count, total) in enumerate(zip(counts.tolist(), sums.tolist(), strict=True)):
        values = np.unravel_index(place, sizes)
        group = "_".join(f"{field}:{value}" for field, value in zip(groups, values, strict=True))
        metrics[f"{name}_{group}"] = total / count if count else None
        metrics[f"count_{group}"] = float(count)
    return metrics | {f"{name}_wg": float((sums[counts > 0] / counts[counts > 0]).min())}


def macro_recall(labels: Ints, predictions: Ints) -> float:
    """The mean over the classes that occur among the labels."""
    return _macro(labels, predictions, lambda hits, seen, said: hits / seen)  # noqa: ARG005


def macro_f1(labels: Ints, predictions: Ints) -> float:
    """The mean over the classes that occur among the labels."""
    return _macro(labels, predictions, lambda hits, seen, said: 2 * hits / (seen + said))


def _macro(labels: Ints, predictions: Ints, measure: Callable[..., NDArray[np.float64]]) -> float:
    classes = int(max(labels.max(), predictions.max())) + 1
    seen = np.bincount(labels, minlength=classes)
    said = np.bincount(predictions, minlength=classes)
    hits = np.bincount(labels[labels == predictions], minlength=classes)
    return float(measure(hits[seen > 0], seen[seen > 0], said[seen > 0]).mean())


def _iwildcam(labels: Ints, predictions: Ints, ranks: Ints, fields: Mapping[str, Ints]) -> Metrics:  # noqa: ARG001
    return {
        "acc_avg": float((ranks == 1).mean()),
        "recall-macro_all": macro_recall(labels, predictions),
        "F1-macro_all": macro_f1(labels, predictions),
    }


def _fmow(labels: Ints, predictions: Ints, ranks: Ints, fields: Mapping[str, Ints]) -> Metrics:  # noqa: ARG001
    years = accuracy_by_group("acc", ranks == 1, {"year": fields["year"]})
    regions = accuracy_by_group("acc", ranks == 1, {"region": fields["region"]})
    named = fields["region"] != OTHER_REGION
    by_name = accuracy_by_group("acc", ranks[named] == 1, {"region": fields["region"][named]}) if named.any() else {}
    return (
        {name: value for name, value in years.items() if name != "acc_wg"}
        | {"acc_worst_year": years["acc_wg"]}
        | {name: value for name, value in regions.items() if name not in ("acc_avg", "acc_wg")}
        | {"acc_worst_region": regions["acc_wg"], "acc_worst_named_region": by_name.get("acc_wg")}
    )


def _by(name: str, field: str, cut: int = 1) -> Callable[..., Metrics]:
    """The share of images whose true class is among the first `cut`, by the groups of a field."""
    return lambda labels, predictions, ranks, fields: accuracy_by_group(name, ranks <= cut, {field: fields[field]})  # noqa: ARG005


_EXTRA: dict[str, Callable[..., Metrics]] = {
    "wilds/iwildcam": _iwildcam,
    "wilds/camelyon17": _by("acc", GROUP_OF["wilds/camelyon17"]),
    "wilds/fmow": _fmow,
    "fairness/dollar_street": _by("acc_top5", GROUP_OF["fairness/dollar_street"], cut=5),
    "fairness/geode": _by("acc", GROUP_OF["fairness/geode"]),
}
