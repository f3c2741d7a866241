"""Published results that the package carries (`published/SOURCES.md` says whose they are)."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

METRICS = ("imagenet", "shifts", "vtab", "retrieval", "average")
"""What DataComp's table says of a run: ImageNet, the means of three groups of tasks, and that of all 38."""
_COLUMNS = ("imagenet", "imagenet_shifts", "vtab", "retrieval", "average_38")


@dataclass(frozen=True, slots=True)
class PublishedFilter:
    kept_fraction: float
    scores: Array
    """One for each of METRICS."""


@cache
def datacomp_filters() -> Mapping[str, Mapping[str, PublishedFilter]]:
    """DataComp's filtering track: scale -> filter -> what it kept and scored."""
    table: dict[str, dict[str, PublishedFilter]] = {}
    for row in _rows("datacomp_filters.csv"):
        # A scale's pool has as many samples as a run sees.
        kept = min(1.0, float(row["training_samples"]) / float(row["samples_seen"]))
        scores = np.array([float(row[column]) for column in _COLUMNS])
        table.setdefault(row["scale"], {})[row["filter"]] = PublishedFilter(kept, scores)
    return table


def laion_runs() -> dict[str, Array]:
    """LAION's 29 CLIPs by compute: `gmacs` of one forward, `samples_seen`, `unique_samples`, `imagenet`."""
    rows = _rows("laion_runs.csv")
    columns = {
        name: np.array([float(row[name]) for row in rows])
        for name in ("gmacs", "samples_seen", "unique_samples", "imagenet")
    }
    order = np.argsort(columns["gmacs"] * columns["samples_seen"])
    return {name: column[order] for name, column in columns.items()}


def compute_frontier(family: str) -> tuple[Array, Array]:
    """GFLOP and ImageNet error of the runs of `clip` or `mammut` that no cheaper run of the family matches."""
    runs = sorted(
        (float(row["gflops"]) * float(row["samples_seen"]), 1 - float(row["imagenet"]))
        for row in _rows("laion_frontier.csv")
        if row["family"] == family
    )
    best: list[tuple[float, float]] = []
    for compute, error in runs:
        if not best or error < best[-1][1]:
            best.append((compute, error))
    found = np.array(best)
    return found[:, 0], found[:, 1]


def _rows(name: str) -> list[dict[str, str]]:
    text = files("datascaler.forecasting").joinpath("published", name).read_text("utf-8")
    return list(csv.DictReader(text.splitlines()))
