"""`datascaler watch`."""

import sys
import time
from itertools import pairwise
from typing import TYPE_CHECKING

import click

from datascaler.cli.options import INPUT
from datascaler.cli.runs import time_left
from datascaler.errors import RunNotFoundError
from datascaler.safe_text import printable, redacted

if TYPE_CHECKING:
    from datascaler.data.runs.list_work import TrainState

_BAR, _BLOCKS = 40, "▁▂▃▄▅▆▇█"
_MOST_LINES = 20


@click.command()
@click.argument("run", type=INPUT, metavar="RUN")
@click.option("--every", type=click.FloatRange(min=0.1), default=10.0, show_default=True, help="Seconds.")
@click.option("--once", is_flag=True, help="Show it as it is now, and end.")
def watch(run: str, every: float, once: bool) -> None:
    """Watch a training run, or the runs below a folder, until none is running any more.

    Shows progress, the curve of the loss, samples a second, waiting for data and the time left, from the files of the
    run alone: it may run anywhere, here or in a cluster. Ctrl-C ends the watching, not the run.

    \b
    datascaler watch runs/small/clip-f0.3/ViT-B-32-w1.0-b1.0-sp/lr0.0005-wd0.2-wu500-n12800000-s0
    datascaler watch s3://bucket/runs --every 60
    """
    from datascaler.data.runs.list_work import list_work

    screen = sys.stdout.isatty()
    while True:
        states = list_work(run).train
        if not states:
            raise RunNotFoundError(f"{run} holds no training run (run.json); `datascaler runs` shows scoring")
        if screen and not once:
            click.clear()
        for line in _lines_of(states):
            click.echo(printable(redacted(line)))
        if once or not any(state.state == "running" for state in states):
            return
        time.sleep(every)


def _lines_of(states: "list[TrainState]") -> list[str]:
    """One run at length; of several a line each, those that run first."""
    if len(states) == 1:
        return _lines_of_one(states[0])
    states = sorted(states, key=lambda each: each.state != "running")
    width = max(len(each.name) for each in states[:_MOST_LINES])
    lines = [f"{each.name:<{width}}  {_progress(each, _BAR // 2)}  {_figures(each)}" for each in states[:_MOST_LINES]]
    left = len(states) - len(lines)
    return [*lines, *([f"and {left:,} more: `datascaler runs` lists all"] if left else [])]


def _lines_of_one(state: "TrainState") -> list[str]:
    lines = [state.name, f"{state.state}{': ' + state.why if state.why else ''}", _progress(state, _BAR)]
    if state.losses:
        lines.append(f"loss {_curve(state.losses)} {state.losses[0]:.3f} to {state.losses[-1]:.3f}")
    return [*lines, _figures(state)]


def _progress(state: "TrainState", width: int) -> str:
    part = min(1.0, state.samples_seen / state.of) if state.of else 0.0
    full = int(part * width)
    return f"[{'#' * full}{'.' * (width - full)}] {part:4.0%}"


def _figures(state: "TrainState") -> str:
    parts = [state.state, f"{state.samples_seen:,} of {state.of:,} samples"]
    if state.loss is not None:
        parts.append(f"loss {state.loss:.3f}")
    if state.samples_per_second:
        parts.append(f"{state.samples_per_second:,.0f} samples/s")
    if state.data_wait is not None:
        parts.append(f"waits for data {state.data_wait:.0%}")
    if state.eta_seconds is not None:
        parts.append(f"{time_left(state.eta_seconds)} left")
    if state.age_seconds is not None:
        parts.append(f"{time_left(state.age_seconds)} ago")
    return ", ".join(parts)


def _curve(values: list[float]) -> str:
    """The values as blocks, in as many equal parts as the bar is wide."""
    count = min(_BAR, len(values))
    bounds = [round(part * len(values) / count) for part in range(count + 1)]
    means = [sum(values[first:end]) / (end - first) for first, end in pairwise(bounds)]
    low, high = min(means), max(means)
    steps = [(value - low) / (high - low) if high > low else 0.0 for value in means]
    return "".join(_BLOCKS[round(step * (len(_BLOCKS) - 1))] for step in steps)
