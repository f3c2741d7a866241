"""How far scores move with the training seed alone, against how far they move with what is compared.

Signal is the largest difference between the means of two configurations, noise the standard deviation between runs of
one configuration that differ in their seed (pooled over configurations). A task whose ratio is about 1 tells nothing,
however sure its interval over samples is (arXiv 2508.13144).
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean

from datascaler import storage
from datascaler.data.runs.run_folder import read_run
from datascaler.errors import ConfigError
from datascaler.spec.train import RUNTIME_FIELDS, TrainSpec

_NOT_COMPARED = RUNTIME_FIELDS | {"seed", "output_dir"}

_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class SeedNoise:
    """What is known of one average or task."""

    name: str
    configurations: int
    runs: int
    """Runs of these configurations; the noise is over `runs - configurations` degrees of freedom at most."""
    noise: float
    signal: float | None
    """None for one configuration alone."""
    ratio: float | None
    """Signal by noise; None without either."""


def configuration_of(folder: str) -> str | None:
    """All that a run is but its seed, for results that lie in a run's folder; None for any others."""
    for place in (folder, storage.parent(folder)):
        if storage.exists(storage.join(place, "run.json")):
            try:
                return without_seed(read_run(place))
            except ConfigError:  # of an earlier version: what it is can't be told
                return None
    return None


def without_seed(spec: TrainSpec) -> str:
    """All that a run is but its seed; the same text for the same configuration."""
    return json.dumps({name: value for name, value in spec.record().items() if name not in _NOT_COMPARED})


def seed_noise(
    configurations: Sequence[str | None], rows: Iterable[tuple[str, Sequence[float | None]]]
) -> list[SeedNoise]:
    """The noise of each row that all runs have a score in; empty where no configuration has several seeds.

    Args:
        configurations: of each result, in the order of each row's scores.
        rows: name and scores.
    """
    groups: dict[str, list[int]] = {}
    for place, configuration in enumerate(configurations):
        if configuration is not None:
            groups.setdefault(configuration, []).append(place)
    if all(len(places) < 2 for places in groups.values()):
        return []
    return [found for name, scores in rows if (found := _noise_of(name, scores, groups))]


def _noise_of(name: str, scores: Sequence[float | None], groups: Mapping[str, Sequence[int]]) -> SeedNoise | None:
    known = [[score for place in places if (score := scores[place]) is not None] for places in groups.values()]
    known = [group for group in known if group]
    runs = sum(map(len, known))
    freedom = runs - len(known)
    if not freedom:
        return None
    means = [fmean(group) for group in known]
    squares = sum((score - mean) ** 2 for group, mean in zip(known, means, strict=True) for score in group)
    noise = sqrt(squares / freedom)
    signal = max(means) - min(means) if len(means) > 1 else None
    ratio = signal / noise if signal is not None and noise > _ROUNDING else None
    return SeedNoise(name, len(known), runs, noise, signal, ratio)
