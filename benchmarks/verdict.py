"""How a benchmark ends: a line for each missed limit, one JSON line, and an exit code."""

import json
import sys
from collections.abc import Mapping
from typing import Any


def verdict(
    result: Mapping[str, Any],
    *,
    at_least: Mapping[str, float] | None = None,
    at_most: Mapping[str, float] | None = None,
) -> int:
    """0 if all limits are met, else 1. Field names are those of `result`."""
    missed = [
        f"{name} is {result[name]}, less than {limit}"
        for name, limit in (at_least or {}).items()
        if result[name] < limit
    ]
    missed += [
        f"{name} is {result[name]}, more than {limit}"
        for name, limit in (at_most or {}).items()
        if result[name] > limit
    ]
    for line in missed:
        sys.stderr.write(line + "\n")
    sys.stdout.write(json.dumps(result) + "\n")
    return 1 if missed else 0
