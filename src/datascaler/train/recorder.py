"""What rank 0 keeps of a run while it goes: the bar, the metrics, the checkpoints, and at the end the summary."""

import json
import math
import time
from collections.abc import Callable

from datascaler import storage
from datascaler.data.runs.run_folder import RunSummary, finish_run, run_url
from datascaler.errors import ConfigError, NotFoundError
from datascaler.progress import progress
from datascaler.spec.train import TrainSpec
from datascaler.train.checkpoint import Checkpoints, Progress
from datascaler.train.lease import Lease

_PUBLISH_SECONDS = 30.0
_Row = dict[str, float]


class MetricsLog:
    """Rows of a run, up to the samples that a resumed run starts from."""

    def __init__(self, run_url: str, samples_seen: int, say: Callable[[str], None] = lambda _: None) -> None:
        """`say` is told of lines that can't be read, as a machine that crashed or a full disk may leave; they go."""
        self._url = storage.join(run_url, "metrics.jsonl")
        try:
            lines = storage.read_bytes(self._url).splitlines()
        except NotFoundError:
            lines = []
        rows = [row for line in lines if (row := _row(line))]
        if len(rows) < len(lines):
            say(f"damaged   {len(lines) - len(rows)} of {len(lines)} lines of {self._url} are not readable: left out")
        # A run that was killed has logged steps that its newest checkpoint does not know.
        self._rows = [row for row in rows if row["samples_seen"] <= samples_seen]
        self._published = time.monotonic()

    def add(self, row: _Row) -> None:
        self._rows.append(row)
        if time.monotonic() - self._published > _PUBLISH_SECONDS:
            self.publish()

    def publish(self) -> None:
        storage.publish_text(self._url, "".join(json.dumps(row) + "\n" for row in self._rows))
        self._published = time.monotonic()

    def final_loss(self, share: float = 0.05) -> float:
        """Mean loss over the last `share` of the samples seen: a single step's is noise."""
        if not self._rows:
            raise ConfigError(
                f"{self._url} has lost all losses of this run: remove the newest checkpoint to repeat the last steps"
            )
        last = self._rows[-1]["samples_seen"]
        losses: list[float] = [row["loss"] for row in self._rows if row["samples_seen"] > last * (1 - share)]
        return sum(losses) / len(losses)


class Recorder:
    def __init__(
        self,
        spec: TrainSpec,
        checkpoints: Checkpoints,
        lease: Lease,
        at: Progress,
        first_step: int,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._spec, self._checkpoints, self._at, self._first_step = spec, checkpoints, at, first_step
        self._lease = lease
        self._log = MetricsLog(run_url(spec), at.samples_seen, say)
        self._bar = progress(spec.steps, "train", unit="step", initial=first_step)
        self._started = time.monotonic()
        self._checkpoint = ""
        parts = spec.num_checkpoints
        self._saved = time.monotonic()
        self._save_steps = {math.ceil(spec.steps * part / parts) for part in range(1, parts + 1)}

    def after_step(self, step: int, loss: float, lr: float, *, save_now: bool) -> None:
        self._bar.update()
        if step % self._spec.log_every_steps == 0 or step == self._spec.steps:
            self._bar.set_postfix(loss=f"{loss:.3f}", lr=f"{lr:.2g}")
            self._log.add(self._row(step, loss, lr))
        # What is spoiled is not kept: the next step says so.
        if (step in self._save_steps or save_now or self._overdue()) and self._checkpoints.are_finite():
            self._lease.check()
            self._log.publish()
            self._checkpoint = self._checkpoints.save(step, self._at)
            self._saved = time.monotonic()

    def finish(self) -> RunSummary:
        self._bar.close()
        summary = RunSummary(
            run=run_url(self._spec),
            checkpoint=self._checkpoint or self._checkpoints.newest(),
            samples_seen=self._at.samples_seen,
            steps=self._spec.steps,
            substituted=self._at.substituted,
            train_loss=self._log.final_loss(),
            seconds=round(time.monotonic() - self._started, 3),
        )
        finish_run(self._spec, summary)
        return summary

    def _overdue(self) -> bool:
        minutes = self._spec.checkpoint_minutes
        return minutes > 0 and time.monotonic() - self._saved > 60 * minutes

    def _row(self, step: int, loss: float, lr: float) -> dict[str, float]:
        seconds = time.monotonic() - self._started
        return {
            "step": step,
            "samples_seen": self._at.samples_seen,
            "loss": loss,
            "lr": lr,
            "substituted": self._at.substituted,
            "samples_per_second": round((step - self._first_step) * self._spec.batch_size / seconds, 1),
        }


def _row(line: bytes) -> _Row | None:
    """None for what is no row of ours."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    numbers = isinstance(row, dict) and all(isinstance(row.get(name), int | float) for name in ("samples_seen", "loss"))
    return row if numbers else None
