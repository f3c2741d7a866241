"""A sweep: the points of a grid one after another, each a run of its own, and then the best."""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from datascaler import storage
from datascaler.data.run_folder import RunSummary, finished, run_url
from datascaler.errors import BadInputError, ConfigError, DatascalerError, StoppedError, TryAgainError
from datascaler.spec.train import TrainSpec
from datascaler.train.launch import needs_torchrun, train_under_torchrun
from datascaler.train.run import train

_STOPS_THE_SWEEP = {error.exit_code for error in (ConfigError, BadInputError, TryAgainError, StoppedError)}


@dataclass(frozen=True, slots=True)
class SweepPoint:
    lr: float
    weight_decay: float
    warmup_steps: int
    run: str
    train_loss: float | None
    """None for a point that failed."""
    failure: str = ""


@dataclass(frozen=True, slots=True)
class SweepResult:
    points: list[SweepPoint]
    """Best first; failed ones last."""
    results: str
    """URL of the same as JSON."""

    @property
    def best(self) -> SweepPoint:
        return self.points[0]


def sweep(
    points: Sequence[TrainSpec], nproc_per_node: int = 1, say: Callable[[str], None] = lambda _: None
) -> SweepResult:
    """Train every point that is not complete yet. One that diverges is recorded, and the sweep goes on.

    On several nodes each node calls this with the same points and the usual torchrun variables.
    """
    rows = []
    for number, spec in enumerate(points, start=1):
        say(f"--- point {number} of {len(points)}: lr {spec.lr:g}, weight decay {spec.weight_decay:g}")
        summary, failure = _train_point(spec, nproc_per_node, say)
        loss = summary.train_loss if summary else None
        rows.append(SweepPoint(spec.lr, spec.weight_decay, spec.warmup_steps, run_url(spec), loss, failure))
    rows.sort(key=lambda row: math.inf if row.train_loss is None else row.train_loss)
    url = storage.join(storage.parent(run_url(points[0])), "sweep.json")
    storage.publish_json(url, {"points": [asdict(row) for row in rows]})
    if rows[0].train_loss is None:
        raise DatascalerError(f"every point of the sweep failed; the first: {rows[0].failure}")
    return SweepResult(rows, url)


def _train_point(spec: TrainSpec, nproc_per_node: int, say: Callable[[str], None]) -> tuple[RunSummary | None, str]:
    try:
        if needs_torchrun(nproc_per_node):
            with _stdout_is_stderr():
                train_under_torchrun(spec, ["train", *spec.arguments()], nproc_per_node, name=spec.folder)
            return finished(run_url(spec)), ""
        return train(spec, "datascaler sweep", say), ""
    except DatascalerError as error:
        # By exit code, since a training process that failed has left nothing else.
        if error.exit_code in _STOPS_THE_SWEEP:
            raise
        say(f"this point failed: {error}")
        return None, str(error)


@contextmanager
def _stdout_is_stderr() -> Iterator[None]:
    """Processes started inside print each point's own result, which is not the sweep's."""
    stdout = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)
