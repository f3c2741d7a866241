"""What came of the points of a sweep: `sweep-*.json` beside them, best first. Needs nothing that trains."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256

from datascaler import storage
from datascaler.data.run_folder import divergence, finished_run, run_url
from datascaler.errors import DatascalerError
from datascaler.spec.train import TrainSpec


@dataclass(frozen=True, slots=True)
class SweepPoint:
    lr: float
    weight_decay: float
    warmup_steps: int
    run: str
    train_loss: float | None
    """None for a point that failed or is not complete."""
    failure: str = ""


@dataclass(frozen=True, slots=True)
class SweepResult:
    points: list[SweepPoint]
    """Best first; those without a loss last."""
    results: str
    """URL of the same as JSON."""

    @property
    def best(self) -> SweepPoint:
        return self.points[0]


def point_of(spec: TrainSpec) -> SweepPoint:
    """What its folder says of a point."""
    summary = finished_run(spec)
    loss = summary.train_loss if summary else None
    failure = "" if summary else divergence(spec) or "not complete"
    return SweepPoint(spec.lr, spec.weight_decay, spec.warmup_steps, run_url(spec), loss, failure)


def collect(specs: Sequence[TrainSpec]) -> SweepResult:
    """Rank the points as they are now, and publish the ranking. Raises DatascalerError if none is complete."""
    points = sorted(map(point_of, specs), key=lambda point: math.inf if point.train_loss is None else point.train_loss)
    url = sweep_results_url(specs)
    storage.publish_record(url, {"points": [asdict(point) for point in points]})
    if points[0].train_loss is None:
        raise DatascalerError(f"no point of the sweep is complete; the first: {points[0].failure}")
    return SweepResult(points, url)


def sweep_results_url(specs: Sequence[TrainSpec]) -> str:
    """Where the ranking of a sweep goes. Sweeps of other points, or of another length, lie beside it."""
    first = specs[0]
    points = sorted(spec.folder for spec in specs)
    digest = sha256(json.dumps(points).encode()).hexdigest()[:8]
    name = f"sweep-n{first.train_num_samples}-s{first.seed}-{digest}.json"
    return storage.join(storage.parent(run_url(first)), name)
