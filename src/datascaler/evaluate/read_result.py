"""What an evaluation left, read again: the metrics of each task, and what each sample was answered."""

import json
from dataclasses import dataclass
from math import isfinite
from typing import Any

from datascaler import storage
from datascaler.data.pool.parquet import read_parquet
from datascaler.errors import ConfigError
from datascaler.evaluate.tasks import samples_url

LINES = "eval_results.jsonl"
_ANSWERS = ("rank", "found")
"""The column that is null where a sample's image did not decode."""


@dataclass(frozen=True, slots=True)
class ReadResult:
    """One model's results."""

    name: str
    """What the user gave."""
    folder: str
    metrics: dict[str, dict[str, float | None]]
    """Task key -> its metrics; what is not finite is None."""
    main_metrics: dict[str, str]
    """Task key -> the name of its main metric, where a summary of ours tells it."""

    def samples(self, key: str) -> Any:
        return read_answers(self.folder, key)


def read_answers(output_dir: str, key: str) -> Any:
    """The table of a task's samples; None where there is none."""
    url = samples_url(output_dir, key)
    if not storage.exists(url):
        return None
    return read_parquet(url)


def read_result(url: str) -> ReadResult:
    """A folder of results, a run with such a folder `eval`, or a file of lines."""
    folders = [storage.parent(url)] if url.endswith(".jsonl") else [url, storage.join(url, "eval")]
    lines = [url] if url.endswith(".jsonl") else [storage.join(folder, LINES) for folder in folders]
    found = next((place for place, each in enumerate(lines) if storage.exists(each)), None)
    if found is None:
        raise ConfigError(f"no {LINES} in {url} or its folder eval: evaluate it to the end first")
    summary = storage.join(folders[found], "eval_summary.json")
    tasks = storage.read_json(summary).get("by_task", {}) if storage.exists(summary) else {}
    main_metrics = {key: task["metric"] for key, task in tasks.items() if task.get("metric")}
    return ReadResult(url, folders[found], _read_lines(lines[found]), main_metrics)


def same_samples(one: Any, other: Any) -> bool:
    """Whether two tables are of the same samples in the same order, with an answer for the same of them."""
    if one.num_rows != other.num_rows or not one["key"].equals(other["key"]):
        return False
    truths = [name for name in ("label", "group", "associations") if name in one.column_names]
    if not all(name in other.column_names and one[name].equals(other[name]) for name in truths):
        return False
    answers = [name for name in _ANSWERS if name in one.column_names and name in other.column_names]
    return all(one[name].is_valid().equals(other[name].is_valid()) for name in answers)


def _read_lines(url: str) -> dict[str, dict[str, float | None]]:
    """The last line of a task counts, as in DataComp's own evaluation."""
    found = {}
    for number, line in enumerate(storage.read_text(url).splitlines(), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            found[str(record["key"])] = {name: _finite(value) for name, value in record["metrics"].items()}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ConfigError(f"{url}: line {number} is not a result with a key and metrics") from error
    return found


def _finite(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    return float(value) if is_number else None
