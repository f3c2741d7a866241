"""Training runs: their curves, how each ended, what it was made from, and a short name for each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from operator import itemgetter
from typing import Any

import numpy as np

from datascaler import storage
from datascaler.data.runs.read_metrics import MetricsRow, read_metrics
from datascaler.data.runs.run_folder import RunSummary, early_end, finished, read_run
from datascaler.errors import ConfigError, DivergedError, StorageError
from datascaler.report.blocks import Figure, Section, Table, Text, number, words
from datascaler.report.charts import Curve, curves
from datascaler.spec.numbers import format_fraction
from datascaler.spec.train import TrainSpec

_MOST_POINTS = 240
"""A curve has no more; a longer one is drawn by the means of as many equal parts."""
_MOST_CURVES = 60
"""A figure has no more. Beyond that, the runs of least loss are drawn, and it is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainRun:
    """A training run, as far as it came."""

    url: str
    spec: TrainSpec
    record: Mapping[str, Any]
    """What run.json holds: inputs, command, code version."""
    summary: RunSummary | None
    early_end: DivergedError | None
    """What ended it before its last step, where starting it again would meet that again."""
    rows: list[MetricsRow]
    """Those of metrics.jsonl."""
    damaged_rows: int
    label: str = ""

    @property
    def filter(self) -> str:
        return self.spec.subset_name

    @property
    def state(self) -> str:
        if self.summary:
            return "complete"
        return self.early_end.state if self.early_end else "not complete"

    @property
    def starts(self) -> list[tuple[float, int, int]]:
        """Samples seen, number and processes of each start that its log tells of; a branch's trunk is not its own."""
        found: list[tuple[float, int, int]] = []
        before = 0.0
        for row in self.rows:
            start, processes = int(row.get("start", 1)), int(row.get("processes", 0))
            if start > 0 and (not found or found[-1][1:] != (start, processes)):
                found.append((before, start, processes))
            before = row["samples_seen"]
        return found

    @property
    def process_hours(self) -> float | None:
        """Time of the steps in its log, times the processes; None where it doesn't tell. Lost steps are not in it."""
        rows = [row for row in self.rows if row.get("start", 1) > 0]
        if not rows or any(row.get("samples_per_second", 0) <= 0 or "processes" not in row for row in rows):
            return None
        branched = max((row["samples_seen"] for row in self.rows if row.get("start", 1) == 0), default=0.0)
        seen = [branched, *(row["samples_seen"] for row in rows)]
        seconds = [
            (after - before) / row["samples_per_second"] * row["processes"]
            for row, (before, after) in zip(rows, pairwise(seen), strict=True)
        ]
        return sum(seconds) / 3600

    @property
    def samples_seen(self) -> int:
        if self.summary:
            return self.summary.samples_seen
        return int(self.rows[-1]["samples_seen"]) if self.rows else 0


def read_training_run(url: str) -> TrainRun:
    """Raises ConfigError or StorageError for a folder that can't be read as a run."""
    spec = read_run(url)
    rows, damaged = read_metrics(url)
    return TrainRun(
        url=url,
        spec=spec,
        record=storage.read_record(storage.join(url, "run.json")),
        summary=finished(url),
        early_end=early_end(url),
        rows=rows,
        damaged_rows=damaged,
    )


def read_training_runs(urls: Sequence[str]) -> tuple[list[TrainRun], dict[str, str]]:
    """The runs, and why each other one can't be read, by URL."""
    found, failures = [], {}
    for url in urls:
        try:
            found.append(read_training_run(url))
        except (ConfigError, StorageError) as error:
            failures[url] = str(error)
    return found, failures


def run_labels(runs: Sequence[TrainRun]) -> list[str]:
    """The filter, and whatever else is not the same for all runs; numbered where that is not enough."""
    parts = {
        "scale": [run.spec.scale for run in runs],
        "arch": [run.spec.model_arch for run in runs],
        "width": [f"w{format_fraction(run.spec.width_mult)}" for run in runs],
        "parametrisation": ["muP" if run.spec.use_mup else "SP" for run in runs],
        "samples": [short_count(run.spec.train_num_samples) for run in runs],
        "lr": [f"lr {run.spec.lr:g}" for run in runs],
        "weight_decay": [f"wd {run.spec.weight_decay:g}" for run in runs],
        "warmup": [f"warm-up {run.spec.warmup_steps}" for run in runs],
        "seed": [f"seed {run.spec.seed}" for run in runs],
    }
    telling = [values for values in parts.values() if len(set(values)) > 1]
    labels = [", ".join([run.filter, *(values[at] for values in telling)]) for at, run in enumerate(runs)]
    return numbered(labels)


def numbered(labels: Sequence[str]) -> list[str]:
    """Labels that are each there once."""
    seen: dict[str, int] = {}
    found = []
    for label in labels:
        seen[label] = seen.get(label, 0) + 1
        found.append(label if labels.count(label) == 1 else f"{label} ({seen[label]})")
    return found


def short_count(value: int) -> str:
    """12.8M"""
    for size, unit in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if value >= size:
            return f"{value / size:.4g}{unit}"
    return str(value)


def training_section(runs: Sequence[TrainRun], failures: Mapping[str, str]) -> Section | None:
    if not runs and not failures:
        return None
    done = sum(run.summary is not None for run in runs)
    blocks: list[Any] = [Text(text=f"{done:,} of {len(runs) + len(failures):,} runs are complete.")]
    drawn = [run for run in runs if len(run.rows) > 1]
    if len(drawn) > _MOST_CURVES:
        drawn = sorted(drawn, key=lambda run: run.rows[-1]["loss"])[:_MOST_CURVES]
        blocks.append(
            Text(text=f"Curves are of the {_MOST_CURVES} runs of least loss; the table has all {len(runs):,}.")
        )
    blocks += _figures(drawn)
    blocks.append(_table(runs))
    for url, reason in failures.items():
        blocks.append(Text(text=f"{url} can't be read: {reason}"))
    return Section(name="training", title="Training", blocks=blocks)


def _figures(runs: Sequence[TrainRun]) -> list[Figure]:
    """Those of the fields that rows have."""
    kinds = (
        ("loss", "Loss", "loss", "The training loss of each run against samples seen."),
        ("samples_per_second", "Throughput", "samples a second", "Samples a second of each run, against samples seen."),
        ("data_wait", "Waiting for data", "part of the time", "The part of the time that a run waited for data."),
        ("lr", "Learning rate", "learning rate", "The learning rate of each run against samples seen."),
    )
    found = []
    for name, title, axis, says in kinds:
        rows = [
            Curve(label=run.label, group=run.filter, **_curve(run.rows, name), events=_events(run))
            for run in runs
            if len({row[name] for row in run.rows if name in row}) > 1
        ]
        if rows:
            if any(row.events for row in rows):
                says += " Ticks on the axis and diamonds are starts after the first, and changes of the world size."
            found.append(curves(f"training-{name.replace('_', '-')}", title, says, rows, "samples seen", axis))
    return found


def _curve(rows: Sequence[MetricsRow], name: str) -> dict[str, list[float]]:
    """Points of a curve, to six digits."""
    there = [row for row in rows if name in row]
    x = np.array([row["samples_seen"] for row in there], np.float64)
    y = np.array([row[name] for row in there], np.float64)
    parts = [(x, y)] if len(there) <= _MOST_POINTS else None
    if parts is None:
        bounds = np.linspace(0, len(there), _MOST_POINTS + 1).astype(int)[:-1]
        sizes = np.diff([*bounds, len(there)])
        x, y = np.add.reduceat(x, bounds) / sizes, np.add.reduceat(y, bounds) / sizes
    return {"x": [float(f"{each:.10g}") for each in x], "y": [float(f"{each:.6g}") for each in y]}


def _events(run: TrainRun) -> list[tuple[float, str]]:
    """Restarts and changes of the number of processes, at samples seen."""
    found = []
    for (_, _, before), (place, start, processes) in pairwise(run.starts):
        # A log of an earlier version does not tell.
        changed = f", {before:,} -> {processes:,} processes" if before and processes != before else ""
        found.append((place, f"start {start:,}{changed}"))
    return found


def _table(runs: Sequence[TrainRun]) -> Table:
    columns = [
        *("run", "state", "samples seen", "of", "final loss", "steps", "replaced samples", "hours of the last start"),
        *("starts", "processes"),
    ]
    rows = [
        [
            words(run.label),
            words(run.state + (f": {run.early_end}" if run.early_end else "")),
            number(run.samples_seen),
            number(run.spec.train_num_samples),
            number(run.summary.train_loss if run.summary else None),
            number(run.summary.steps if run.summary else None),
            number(run.summary.substituted if run.summary else None),
            number(run.summary.seconds / 3600 if run.summary else None, 3),
            number(max((start for _, start, _ in run.starts), default=None)),
            words(" -> ".join(f"{each:,}" for each, _ in groupby(run.starts, itemgetter(2)) if each) or "-"),
        ]
        for run in runs
    ]
    lost = sum(run.damaged_rows for run in runs)
    note = "The final loss is the mean over the last 5% of the samples."
    if lost:
        note += f" {lost:,} damaged lines of metrics.jsonl are left out."
    return Table(name="training-runs", title="Runs", columns=columns, rows=rows, note=note, folded=len(runs) > 30)
