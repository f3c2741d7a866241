"""Work on the checkpoints of runs that still train, as they come, until the runs are complete: their evaluation.

It reads files alone, so the job that trains knows nothing of it and waits for nothing. Results of a checkpoint lie in a
folder of their own below those of the run, so nothing of the complete run's is overwritten.

checkpoints/step_<N>/                as of any evaluation
checkpoints/eval_curve.jsonl         a line a checkpoint: its samples seen, the average of how many, each task's score
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from datascaler import storage
from datascaler.data.runs.select_runs import FoundRun, unfinished_runs
from datascaler.errors import ConfigError, DamagedError, DatascalerError, NotFoundError, TryAgainError

CURVE = "eval_curve.jsonl"
_LOOK_SECONDS = 5.0
_Row = dict[str, Any]


def follow_runs(
    train_dir: str,
    wanted: Mapping[str, object],
    every: int,
    results_of: Callable[[str], str],
    evaluate: Callable[[str, str], _Row],
    say: Callable[[str], None],
) -> None:
    """Evaluate a checkpoint of each run that fits, `every` so many samples at least, until all runs are complete.

    Args:
        results_of: the folder of results of a run.
        evaluate: evaluates a checkpoint (URL) into a folder and gives the row of it.
    """
    seen: dict[str, int] = {}
    lost: set[str] = set()
    while runs := unfinished_runs(train_dir, wanted):
        due = [found for run in runs if (found := _due(run, seen.get(run.url, 0) + every)) and found.url not in lost]
        for found in due:
            name = storage.basename(found.url).removesuffix(".pt")
            folder = storage.join(results_of(found.run), "checkpoints")
            say(f"--- {name} of {found.run}, which trains on")
            try:
                row = evaluate(found.url, storage.join(folder, name))
            except TryAgainError:
                raise
            except (NotFoundError, DamagedError):
                lost.add(found.url)
                say("the run has replaced this checkpoint meanwhile: the next one is taken")
                continue
            except DatascalerError as error:
                # Training goes on, and so does this: what is wrong with a set is said once a checkpoint.
                say(f"{name} can't be evaluated: {error}")
                row = error.finished or {}
            seen[found.run] = found.samples_seen
            if row.get("scores"):
                _add_to_curve(folder, {"checkpoint": name, "samples_seen": found.samples_seen, **_point(row)})
        if not due:
            time.sleep(_LOOK_SECONDS)


class _Due(NamedTuple):
    run: str
    url: str
    samples_seen: int


def _due(run: FoundRun, wanted_samples: int) -> _Due | None:
    """The newest checkpoint, once it has seen so many samples; the last one is the complete run's, and not due here."""
    found = _newest(run.url)
    total = run.spec.steps * run.spec.batch_size
    return _Due(run.url, *found) if found and wanted_samples <= found[1] < total else None


def _newest(run: str) -> tuple[str, int] | None:
    """The newest checkpoint and the samples it has seen, as the run's list says; None before the first one."""
    folder = storage.join(run, "checkpoints")
    with suppress(NotFoundError, ConfigError):
        record = storage.read_record(storage.join(folder, "latest.json"))
        if isinstance(record.get("file"), str) and isinstance(record.get("samples_seen"), int):
            return storage.join(folder, record["file"]), record["samples_seen"]
    return None


def _point(row: _Row) -> _Row:
    return {name: row[name] for name in ("average", "average_interval", "scored", "of", "scores")}


def _add_to_curve(folder: str, point: _Row) -> None:
    """The same checkpoint again replaces its line, as after a restart."""
    url = storage.join(folder, CURVE)
    points = [each for each in _curve(url) if each["checkpoint"] != point["checkpoint"]] + [point]
    points.sort(key=lambda each: each["samples_seen"])
    storage.publish_text(url, "".join(json.dumps(each, allow_nan=False) + "\n" for each in points))


def _curve(url: str) -> Iterator[_Row]:
    with suppress(NotFoundError):
        yield from map(json.loads, storage.read_text(url).splitlines())
