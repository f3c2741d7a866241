"""The log of a training run, `metrics.jsonl`, as rows of numbers."""

import json
from collections.abc import Sequence
from typing import Any

from datascaler import storage
from datascaler.errors import NotFoundError

MetricsRow = dict[str, float]
_BEYOND = 1e300
"""No metric is as large; what isn't finite is not drawn."""


def read_metrics(run_url: str) -> tuple[list[MetricsRow], int]:
    """The rows, each with samples seen and loss, and how many lines are none: a crash or a full disk may leave some."""
    try:
        lines = storage.read_bytes(storage.join(run_url, "metrics.jsonl")).splitlines()
    except NotFoundError:
        return [], 0
    rows = [row for line in lines if (row := _row(line))]
    return rows, len(lines) - len(rows)


def mean_loss(rows: Sequence[MetricsRow], samples_seen: float, share: float = 0.05) -> float | None:
    """Mean loss over the last `share` of the samples up to there, a single step's being noise. None before any row."""
    seen = [row for row in rows if row["samples_seen"] <= samples_seen]
    if not seen:
        return None
    losses = [row["loss"] for row in seen if row["samples_seen"] > seen[-1]["samples_seen"] * (1 - share)]
    return sum(losses) / len(losses)


def is_number(value: Any) -> bool:
    """Whether a value out of a JSON file is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _BEYOND


def _row(line: bytes) -> MetricsRow | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict):
        return None
    numbers = {str(name): float(value) for name, value in row.items() if is_number(value)}
    return numbers if {"samples_seen", "loss"} <= numbers.keys() else None
