"""Published results of DataComp's filters, as data: where a run stands beside them.

Source: DataComp (arXiv 2304.14108, the late version), table 3, filtering track. Each is one run, given to three
decimals and without an error bar. Version 1 of the paper had another Flickr set, so its averages are others.
"""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from datascaler.errors import ConfigError

_FILE = "published_baselines.csv"


@dataclass(frozen=True, slots=True)
class PublishedBaseline:
    """What a model of a scale reached on the subset of a filter."""

    scale: str
    strategy: str
    subset_size: str
    averages: dict[str, float]
    """Group -> the average over all of its tasks; `average_38` is that over DataComp's 38."""


def published_baselines(scale: str) -> list[PublishedBaseline]:
    """Those of a scale, in the paper's order."""
    found = [baseline for baseline in _all() if baseline.scale == scale]
    if not found:
        known = ", ".join(dict.fromkeys(baseline.scale for baseline in _all()))
        raise ConfigError(f"published baselines are there for the scales {known}, not for {scale!r}")
    return found


@cache
def _all() -> tuple[PublishedBaseline, ...]:
    lines = files("datascaler.evaluate").joinpath(_FILE).read_text("utf-8").splitlines()
    return tuple(
        PublishedBaseline(
            scale, strategy, size, {name: float(value) for name, value in zip(header, averages, strict=True)}
        )
        for header in [next(csv.reader(lines[:1]))[3:]]
        for scale, strategy, size, *averages in csv.reader(lines[1:])
    )
