"""What rank 0 keeps of a run while it goes: the bar, the metrics, the checkpoints, and at the end the summary."""

import math
import time
from collections.abc import Callable

from datascaler.data.runs.run_folder import RunSummary, finish_run, run_url
from datascaler.progress import progress
from datascaler.spec.train import TrainSpec
from datascaler.train.checkpoint import Checkpoints, Progress
from datascaler.train.lease import Lease
from datascaler.train.metrics import MetricsLog


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
        if step in self._save_steps or save_now or self._overdue():
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
