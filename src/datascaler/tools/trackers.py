"""Trackers that the figures of a run are copied to: TensorBoard, Weights & Biases, MLflow. None of them stops the run.

Each has a thread of its own, in which its package is loaded and everything is sent: a service that is slow costs the
run nothing, and one that fails is left. Where figures come faster than a tracker takes them, some are left out there.
"""

import os
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib import import_module
from queue import Full, Queue
from threading import Thread
from typing import Protocol

from datascaler.errors import first_line

_WAITING_ROWS = 1000
_CLOSING_SECONDS = 60.0
_PROJECT = "datascaler"
_LONGEST_PARAMETER = 500
_Row = tuple[int, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """The run, as trackers know it."""

    url: str
    name: str
    settings: Mapping[str, object]
    is_local: bool
    first_step: int
    """What was logged from there on is logged again, as after a run that was killed."""

    @property
    def key(self) -> str:
        """The same for every start of the run, so that they are one run to a tracker too."""
        return sha256(self.url.encode()).hexdigest()[:16]


class Trackers:
    """Those of one run, while it goes."""

    def __init__(self, names: tuple[str, ...], run: TrackedRun, say: Callable[[str], None]) -> None:
        self._queues: list[Queue[_Row | bool]] = [Queue(_WAITING_ROWS) for _ in names]
        self._threads = [
            Thread(target=_keep, args=(name, run, rows, say), name=f"tracker {name}", daemon=True)
            for name, rows in zip(names, self._queues, strict=True)
        ]
        for thread in self._threads:
            thread.start()

    def add(self, step: int, figures: Mapping[str, float]) -> None:
        self._put((step, dict(figures)))

    def close(self, *, is_complete: bool) -> None:
        """Send what is left, for a minute at most. Closing again does nothing."""
        self._put(is_complete)
        until = time.monotonic() + _CLOSING_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        self._queues, self._threads = [], []

    def _put(self, item: "_Row | bool") -> None:
        for rows in self._queues:
            if isinstance(item, bool):
                _make_room(rows)
            try:
                rows.put_nowait(item)
            except Full:
                continue


def _make_room(rows: "Queue[_Row | bool]") -> None:
    while rows.full():
        rows.get_nowait()


def _keep(name: str, run: TrackedRun, rows: "Queue[_Row | bool]", say: Callable[[str], None]) -> None:
    """A tracker's thread: everything that may go wrong there ends here."""
    try:
        tracker = _KINDS[name](run)
        while not isinstance(item := rows.get(), bool):
            tracker.log(*item)
        tracker.close(is_complete=item)
    except ModuleNotFoundError as error:
        package = {"mlflow": "mlflow-skinny"}.get(name, name)
        say(f"tracker   {name} is off, the run goes on: {first_line(error)} (pip install {package})")
    except (Exception, SystemExit) as error:
        say(f"tracker   {name} is off, the run goes on: {type(error).__name__}: {first_line(error)}")


class _Tracker(Protocol):
    def log(self, step: int, figures: Mapping[str, float]) -> None: ...

    def close(self, *, is_complete: bool) -> None: ...


class _TensorBoard:
    """Event files in the run's own folder; a resumed run hides what it logs again."""

    def __init__(self, run: TrackedRun) -> None:
        writer = import_module("torch.utils.tensorboard").SummaryWriter
        self._writer = writer(f"{run.url}/tensorboard", purge_step=run.first_step)

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self, *, is_complete: bool) -> None:  # noqa: ARG002
        self._writer.close()


class _WeightsAndBiases:
    """It reads its own variables: WANDB_MODE=offline, WANDB_PROJECT, WANDB_ENTITY, WANDB_API_KEY."""

    def __init__(self, run: TrackedRun) -> None:
        wandb = import_module("wandb")
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", _PROJECT),
            id=run.key,
            name=run.name,
            config=dict(run.settings),
            resume="allow",
            dir=run.url if run.is_local else tempfile.gettempdir(),
            settings=wandb.Settings(console="off", login_timeout=10, silent=True),
        )

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        self._run.log(dict(figures), step=step)

    def close(self, *, is_complete: bool) -> None:
        self._run.finish(exit_code=0 if is_complete else 1)


class _MLflow:
    """It reads its own variables: MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME."""

    def __init__(self, run: TrackedRun) -> None:
        self._entities = import_module("mlflow.entities")
        self._client = import_module("mlflow").MlflowClient()
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or _PROJECT
        experiment = self._client.get_experiment_by_name(name)
        where = experiment.experiment_id if experiment else self._client.create_experiment(name)
        there = self._client.search_runs([where], f"tags.run_key = '{run.key}'", max_results=1)
        if there:
            self._id = there[0].info.run_id
            self._client.update_run(self._id, status="RUNNING")
            return
        tags = {"run_key": run.key, "run_url": run.url}
        self._id = self._client.create_run(where, run_name=run.name, tags=tags).info.run_id
        parameters = [self._entities.Param(key, str(value)[:_LONGEST_PARAMETER]) for key, value in run.settings.items()]
        self._client.log_batch(self._id, params=parameters)

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        now = int(time.time() * 1000)
        metrics = [self._entities.Metric(name, float(value), now, step) for name, value in figures.items()]
        self._client.log_batch(self._id, metrics=metrics)

    def close(self, *, is_complete: bool) -> None:
        self._client.set_terminated(self._id, "FINISHED" if is_complete else "KILLED")


_KINDS: dict[str, Callable[[TrackedRun], _Tracker]] = {
    "tensorboard": _TensorBoard,
    "wandb": _WeightsAndBiases,
    "mlflow": _MLflow,
}
