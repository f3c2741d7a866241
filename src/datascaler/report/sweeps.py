"""Sweeps: loss against learning rate, a curve for each ranking and weight decay, and the best point of each."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

from datascaler import storage
from datascaler.data.runs.run_folder import read_run
from datascaler.data.runs.sweep_results import SweepPoint, SweepResult
from datascaler.errors import ConfigError, StorageError
from datascaler.report.blocks import Section, Table, Text, number, words
from datascaler.report.charts import Curve, curves
from datascaler.report.training_runs import numbered
from datascaler.spec.numbers import format_fraction
from datascaler.spec.train import TrainSpec

_MOST_TICKS = 16


@dataclass(frozen=True, slots=True)
class ReadSweep:
    url: str
    label: str
    result: SweepResult
    spec: TrainSpec | None
    """That of the best point whose run can be read."""


def read_sweeps(urls: Sequence[str]) -> tuple[list[ReadSweep], dict[str, str]]:
    """The rankings, and why each other one can't be read."""
    found, failures = [], {}
    for url in urls:
        try:
            found.append(_read_sweep(url))
        except (ConfigError, StorageError) as error:
            failures[url] = str(error)
    labels = numbered([each.label for each in found])
    return [replace(each, label=label) for each, label in zip(found, labels, strict=True)], failures


def sweep_section(sweeps: Sequence[ReadSweep], failures: Mapping[str, str]) -> Section | None:
    if not sweeps and not failures:
        return None
    rows = [curve for sweep in sweeps for curve in _curves(sweep)]
    blocks: list[Any] = [Text(text=_told(sweep)) for sweep in sweeps]
    if rows:
        says = "The final training loss of each point of a sweep against its learning rate; lower is better."
        rates = sorted({rate for row in rows for rate in row.x})[:_MOST_TICKS]
        axis = {"type": "log", "tickvals": rates, "ticktext": [f"{rate:g}" for rate in rates]}
        made = curves("sweep-loss", "Loss against learning rate", says, rows, "learning rate", "final loss", x=axis)
        blocks.append(made)
    blocks.append(_table(sweeps))
    blocks += [Text(text=f"{url} can't be read: {reason}") for url, reason in failures.items()]
    return Section(name="sweeps", title="Sweeps", blocks=blocks)


def _read_sweep(url: str) -> ReadSweep:
    record = storage.read_record(url)
    try:
        points = [SweepPoint(**each) for each in record["points"]]
        numbers = [value for each in points for value in (each.lr, each.weight_decay, each.train_loss or 0.0)]
        if not points or not all(map(isfinite, numbers)):
            raise ValueError("it has no points, or one that is not finite")
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{url} is not a ranking of this version ({error})") from error
    points.sort(key=lambda point: (point.train_loss is None, point.train_loss or 0.0))
    label, batch_size, spec = storage.basename(storage.parent(url)), 0, None
    with suppress(ConfigError, StorageError):
        spec = read_run(points[0].run)
    if spec:
        label = f"{spec.subset_name}, {spec.model_arch}"
        label += f", w{format_fraction(spec.width_mult)}, {'muP' if spec.use_mup else 'SP'}"
        batch_size = spec.batch_size
    return ReadSweep(url, label, SweepResult(points, url, 0, batch_size), spec)


def _curves(sweep: ReadSweep) -> list[Curve]:
    done = [point for point in sweep.result.points if point.train_loss is not None]
    decays = sorted({point.weight_decay for point in done})
    found = []
    for decay in decays:
        points = sorted((each for each in done if each.weight_decay == decay), key=lambda each: each.lr)
        label = sweep.label + (f", wd {decay:g}" if len(decays) > 1 else "")
        x, y = [each.lr for each in points], [each.train_loss or 0.0 for each in points]
        found.append(Curve(label=label, group=label, x=x, y=y))
    return found


def _told(sweep: ReadSweep) -> str:
    """The optimum, with the reasons to doubt it."""
    best, points = sweep.result.best, sweep.result.points
    done = sum(point.train_loss is not None for point in points)
    if best.train_loss is None:
        return f"{sweep.label}: none of {len(points):,} points is complete; the first: {best.failure}"
    told = (
        f"{sweep.label}: the best of {done:,} complete points of {len(points):,} is lr {best.lr:g}, weight decay "
        f"{best.weight_decay:g}, warm-up {best.warmup_steps:,} steps, with a loss of {best.train_loss:.4g}."
    )
    return " ".join([told, *(f"But {doubt}." for doubt in sweep.result.doubts)])


def _table(sweeps: Sequence[ReadSweep]) -> Table:
    rows = [
        [
            words(sweep.label),
            number(point.lr),
            number(point.weight_decay),
            number(point.warmup_steps),
            number(point.train_loss),
            words(point.failure or "-"),
        ]
        for sweep in sweeps
        for point in sweep.result.points
    ]
    columns = ["sweep", "learning rate", "weight decay", "warm-up steps", "final loss", "why there is none"]
    return Table(name="sweep-points", title="Points", columns=columns, rows=rows, folded=len(rows) > 30)
