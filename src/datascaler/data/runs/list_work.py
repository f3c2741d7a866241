"""How training runs, sweeps and evaluations below a folder are doing, from their files alone."""

import time
from dataclasses import dataclass, field
from typing import Any

from datascaler import storage
from datascaler.data.runs.find_inputs import Inputs, find_inputs
from datascaler.data.runs.read_metrics import is_number, read_metrics
from datascaler.data.runs.run_folder import early_end, finished, read_run
from datascaler.errors import ConfigError, NotFoundError, StorageError
from datascaler.spec.train import TrainSpec
from datascaler.tools.ordered_map import read_in_order

_READERS = 16
"""Files are small: reading one is waiting for the store."""
_QUIET_SECONDS = 120.0
"""A trainer publishes its log at most every 30 s; one that writes nothing for so long, and for three of its logged
rows, is taken to have stopped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainState:
    """A training run as it is now."""

    run: str
    name: str
    """Its folder, below the one that was asked about."""
    state: str
    """complete, running, stopped, diverged, given up, or unreadable."""
    why: str = ""
    """The reason, where it diverged, was given up, or can't be read."""
    samples_seen: int = 0
    of: int = 0
    loss: float | None = None
    """The final one of a run that is complete, else the newest."""
    samples_per_second: float | None = None
    data_wait: float | None = None
    """The part of the time that it waited for data, where its log says it."""
    eta_seconds: float | None = None
    age_seconds: float | None = None
    """Since one of its files changed."""
    losses: list[float] = field(default_factory=list)
    """Those of its log's rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepState:
    sweep: str
    name: str
    points: int
    done: int
    best_lr: float | None
    best_loss: float | None
    age_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalState:
    results: str
    name: str
    state: str
    """complete, or some tasks are done."""
    scored: int
    """Tasks with a score; of one that is not complete, tasks with a result."""
    tasks: int | None
    average: float | None
    failed: int
    age_seconds: float | None


@dataclass(frozen=True, slots=True)
class FoundWork:
    train: list[TrainState]
    sweeps: list[SweepState]
    evaluations: list[EvalState]


def list_work(folder: str) -> FoundWork:
    """Everything but scoring at or below a folder, by name."""
    try:
        inputs = find_inputs([folder])
    except ConfigError:
        return FoundWork([], [], [])
    base = storage.parent(folder) if folder in inputs.runs else folder
    return FoundWork(
        list(read_in_order(lambda url: _train_state(url, base, inputs), sorted(inputs.runs), _READERS)),
        [state for url in sorted(inputs.sweeps) if (state := _sweep_state(url, base, inputs))],
        [
            *(_eval_state(url, base, inputs) for url in sorted(inputs.results)),
            *(_unfinished(url, base, inputs) for url in sorted(inputs.unfinished_results)),
        ],
    )


def _train_state(url: str, base: str, inputs: Inputs) -> TrainState:
    name, age = storage.relative_to(url, base), _age(url, inputs)
    try:
        spec, summary, early = read_run(url), finished(url), early_end(url)
        rows, _ = read_metrics(url)
    except (ConfigError, StorageError) as error:
        return TrainState(run=url, name=name, state="unreadable", why=str(error), age_seconds=age)
    last = rows[-1] if rows else {}
    rate = last.get("samples_per_second") or None
    seen = int(last.get("samples_seen", 0))
    state = "complete" if summary else early.state if early else _liveness(spec, rate, age)
    return TrainState(
        run=url,
        name=name,
        state=state,
        why="" if summary or early is None else str(early),
        samples_seen=summary.samples_seen if summary else seen,
        of=spec.train_num_samples,
        loss=summary.train_loss if summary else last.get("loss"),
        samples_per_second=rate,
        data_wait=last.get("data_wait"),
        eta_seconds=(spec.train_num_samples - seen) / rate if rate and state == "running" else None,
        age_seconds=age,
        losses=[row["loss"] for row in rows],
    )


def _liveness(spec: TrainSpec, rate: float | None, age: float | None) -> str:
    row_seconds = spec.log_every_steps * spec.batch_size / rate if rate else 0.0
    return "running" if age is not None and age < max(_QUIET_SECONDS, 3 * row_seconds) else "stopped"


def _sweep_state(url: str, base: str, inputs: Inputs) -> SweepState | None:
    """None for a file of that name which is no ranking."""
    try:
        points = storage.read_record(url)["points"]
        losses = [(each["train_loss"], each["lr"]) for each in points if is_number(each["train_loss"])]
    except (ConfigError, StorageError, KeyError, TypeError):
        return None
    best_loss, best_lr = min(losses, default=(None, None))
    return SweepState(
        sweep=url,
        name=storage.relative_to(url, base),
        points=len(points),
        done=len(losses),
        best_lr=best_lr,
        best_loss=best_loss,
        age_seconds=_age(url, inputs),
    )


def _eval_state(url: str, base: str, inputs: Inputs) -> EvalState:
    """Results of DataComp's own evaluation have no summary."""
    try:
        found = storage.read_json(storage.join(url, "eval_summary.json"))
    except (NotFoundError, ConfigError):
        found = {}
    record: dict[str, Any] = found if isinstance(found, dict) else {}
    average = record.get("average")
    return EvalState(
        results=url,
        name=storage.relative_to(url, base),
        state="complete",
        scored=_whole(record.get("scored")) or 0,
        tasks=_whole(record.get("tasks")),
        average=average if is_number(average) else None,
        failed=len(record.get("failed") or {}),
        age_seconds=_age(url, inputs),
    )


def _unfinished(url: str, base: str, inputs: Inputs) -> EvalState:
    name = storage.relative_to(url, base)
    done = sum(each.startswith(storage.join(url, "eval_results") + "/") for each in inputs.files)
    failed = sum(each.startswith(storage.join(url, "eval_failures") + "/") for each in inputs.files)
    return EvalState(
        results=url,
        name=name,
        state="some tasks are done",
        scored=done,
        tasks=None,
        average=None,
        failed=failed,
        age_seconds=_age(url, inputs),
    )


def _age(url: str, inputs: Inputs) -> float | None:
    """Since the newest change of a file, or of the files that its runs write into a folder."""
    of_run = ("run.json", "metrics.jsonl", "lease.json", "summary.json", "checkpoints/latest.json")
    of_results = ("eval_results.jsonl", "eval_summary.json")
    names = [url, *(f"{url}/{name}" for name in (*of_run, *of_results))]
    changed = [info.modified for name in names if (info := inputs.files.get(name)) and info.modified]
    return max(0.0, time.time() - max(changed)) if changed else None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
