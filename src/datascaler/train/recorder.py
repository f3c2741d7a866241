"""What rank 0 keeps of a run while it goes: the bar, the metrics, the checkpoints, and at the end the summary."""

import json
import math
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from datascaler import storage
from datascaler.data.runs.read_metrics import mean_loss
from datascaler.data.runs.run_folder import RunSummary, finish_run, run_url
from datascaler.errors import ConfigError, NotFoundError
from datascaler.progress import progress
from datascaler.spec.train import TrainSpec
from datascaler.tools.trackers import TrackedRun, Trackers
from datascaler.train.checkpoint import Checkpoints, Progress
from datascaler.train.lease import Lease
from datascaler.train.step import StartedStep

_METRICS = "metrics.jsonl"
_PUBLISH_SECONDS, _SAY_SECONDS = 30.0, 60.0
_Row = dict[str, float]


class MetricsLog:
    """Rows of a run, up to the samples that a resumed run starts from."""

    def __init__(self, run_url: str, samples_seen: int, say: Callable[[str], None] = lambda _: None) -> None:
        """`say` is told of lines that can't be read, as a machine that crashed or a full disk may leave; they go."""
        self._url = storage.join(run_url, _METRICS)
        try:
            lines = storage.read_bytes(self._url).splitlines()
        except NotFoundError:
            lines = []
        rows = [row for line in lines if (row := _row(line))]
        if len(rows) < len(lines):
            say(f"damaged   {len(lines) - len(rows)} of {len(lines)} lines of {self._url} are not readable: left out")
        # A run that was killed has logged steps that its newest checkpoint does not know.
        self._rows = [row for row in rows if row["samples_seen"] <= samples_seen]
        self.start = 1 + int(max((row.get("start", 1) for row in self._rows), default=0))
        """The how manieth start of the run this is, as far as its rows tell."""
        self._published = time.monotonic()

    def add(self, row: _Row) -> None:
        self._rows.append(row)
        if time.monotonic() - self._published > _PUBLISH_SECONDS:
            self.publish()

    def publish(self) -> None:
        storage.publish_text(self._url, "".join(json.dumps(row) + "\n" for row in self._rows))
        self._published = time.monotonic()

    def final_loss(self) -> float:
        """Mean loss over the last 5% of the samples seen."""
        loss = mean_loss(self._rows, math.inf)
        if loss is None:
            raise ConfigError(
                f"{self._url} has lost all losses of this run: remove the newest checkpoint to repeat the last steps"
            )
        return loss


def copy_metrics(run: str, to: str) -> None:
    """Begin a run that branches off from another one with that one's rows, as from before its own first start.

    MetricsLog drops those after the branch.
    """
    with suppress(NotFoundError):
        rows = [row for line in storage.read_bytes(storage.join(run, _METRICS)).splitlines() if (row := _row(line))]
        storage.publish_text(storage.join(to, _METRICS), "".join(json.dumps(row | {"start": 0}) + "\n" for row in rows))


class Recorder:
    def __init__(
        self,
        spec: TrainSpec,
        checkpoints: Checkpoints,
        lease: Lease,
        at: Progress,
        epoch_samples: int | None,
        say: Callable[[str], None] = lambda _: None,
        *,
        processes: int = 1,
    ) -> None:
        """`epoch_samples` is None where it is not known; `say` gets lines where no bar is shown."""
        self._processes = processes
        self._spec, self._checkpoints, self._lease, self._at = spec, checkpoints, lease, at
        self._epoch_samples, self._say = epoch_samples, say
        self._log = MetricsLog(run_url(spec), at.samples_seen, say)
        self._trackers = Trackers(
            spec.track,
            TrackedRun(
                url=run_url(spec),
                name=spec.folder,
                settings=spec.record(),
                is_local=storage.is_local(spec.output_dir),
                first_step=at.samples_seen // spec.batch_size + 1,
            ),
            say,
        )
        self._bar = progress(spec.steps, "train", unit="step", initial=at.samples_seen // spec.batch_size)
        self._unread: tuple[StartedStep, _Row] | None = None
        """The newest step of the log, until its figures are there."""
        self._checkpoint = ""
        self._saved_step = 0
        parts = spec.num_checkpoints
        self._save_steps = {math.ceil(spec.steps * part / parts) for part in range(1, parts + 1)}
        self._save_steps.add(spec.trunk_steps)
        if spec.keep_every:
            self._save_steps.update(range(spec.keep_every, spec.steps + 1, spec.keep_every))
        self._started = self._saved = self._said = self._row_began = time.monotonic()
        self._row_samples, self._row_waited = at.samples_seen, 0.0

    def after_step(self, started: StartedStep, waited: float, *, save_now: bool) -> None:
        """`waited`: seconds in which this process had no batch for the step."""
        self._bar.update()
        self._row_waited += waited
        self._read()
        step = started.number
        if step % self._spec.log_every_steps == 0 or step == self._spec.steps:
            self._unread = started, self._row(started)
        if not (step in self._save_steps or save_now or self._overdue()):
            return
        self._save(started)

    def leave(self, started: StartedStep) -> None:
        """Save the newest step, after which none comes."""
        if started.number != self._saved_step:
            self._read()
            self._save(started)

    def _save(self, started: StartedStep) -> None:
        # What is spoiled is not kept: the next step says so.
        if math.isfinite(started.figures()["loss"]) and self._checkpoints.are_finite():
            self._read()
            self._lease.check()
            self._log.publish()
            self._checkpoint = self._checkpoints.save(started.number, self._at)
            self._saved, self._saved_step = time.monotonic(), started.number

    def loss_so_far(self) -> float:
        """Mean loss over the last 5% of the samples seen, the newest logged step included."""
        self._read()
        return self._log.final_loss()

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
        self._trackers.close(is_complete=True)
        return summary

    def close(self) -> None:
        """Let go of what the run had open, however it ended."""
        self._trackers.close(is_complete=False)

    def _overdue(self) -> bool:
        minutes = self._spec.checkpoint_minutes
        return minutes > 0 and time.monotonic() - self._saved > 60 * minutes

    def _row(self, started: StartedStep) -> _Row:
        """What the host knows of a step; rates are those since the row before."""
        now, seen = time.monotonic(), self._at.samples_seen
        seconds = max(now - self._row_began, 1e-9)
        row = {
            "samples_seen": seen,
            "lr": started.lr,
            **({"tau": tau} if (tau := self._spec.tau) else {}),
            "substituted": self._at.substituted,
            "samples_per_second": round((seen - self._row_samples) / seconds, 1),
            "data_wait": round(min(self._row_waited / seconds, 1.0), 4),
            "start": self._log.start,
            "processes": self._processes,
        }
        if self._epoch_samples:
            row["epoch"] = round(seen / self._epoch_samples, 4)
        self._row_began, self._row_samples, self._row_waited = now, seen, 0.0
        return row

    def _read(self) -> None:
        """Log the step whose figures are there, or will be soon."""
        if self._unread is None:
            return
        (started, row), self._unread = self._unread, None
        figures = started.figures()
        if math.isfinite(figures["loss"]):
            self._log.add({"step": started.number, **figures, **row})
            self._trackers.add(started.number, {**figures, **row})
            self._show(started.number, figures["loss"], row)

    def _show(self, step: int, loss: float, row: _Row) -> None:
        rates = f"loss {loss:.3f}, {row['samples_per_second']:,.0f} samples/s, waits for data {row['data_wait']:.0%}"
        self._bar.set_postfix_str(rates)
        if self._bar.disable and time.monotonic() - self._said > _SAY_SECONDS:
            left = (self._spec.train_num_samples - row["samples_seen"]) / max(row["samples_per_second"], 0.1)
            self._say(f"step      {step:,} of {self._spec.steps:,}: {rates}, {timedelta(seconds=round(left))} left")
            self._said = time.monotonic()


def _row(line: bytes) -> _Row | None:
    """None for what is no row of ours."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    numbers = isinstance(row, dict) and all(isinstance(row.get(name), int | float) for name in ("samples_seen", "loss"))
    return row if numbers else None
