"""What CPU it costs to open a pool of many shards: over fsspec's listing of the same folder, in the same process.

The shards have one sample each. `open_pool` lists; a verb that must know whether this is the pool that its tables and
plans were made from looks into each shard, once on a node. The last line is one JSON object; a missed limit ends with
exit code 1.

    python -m benchmarks.open_pool [--shards 13000] [--turns 7]
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import fsspec

from benchmarks.verdict import verdict
from datascaler.data.pool.shards import find_shards
from datascaler.data.tables.open_pool import open_pool
from datascaler.tools.node_folder import node_folder
from tests.data.tars import members_of, shard_of

AT_MOST = {"open_vs_fsspec": 2.5, "look_again_vs_open": 1.35}
_SETTLED_SECONDS = 11
"""What was changed a moment ago may change again unseen, so that nothing is remembered of it (`known_digests.py`)."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, default=13_000, help="Of one sample each. [13000]")
    parser.add_argument("--turns", type=int, default=7, help="Times that each way is tried. [7]")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-open-") as scratch:
        os.environ["TMPDIR"] = tempfile.tempdir = scratch
        pool = write_pool(Path(scratch, "pool"), arguments.shards)
        result = measure(pool, arguments.turns)
    return verdict(result | {"shards": arguments.shards, "turns": arguments.turns}, at_most=AT_MOST)


def write_pool(folder: Path, shards: int) -> str:
    folder.mkdir()
    for number in range(shards):
        (folder / f"{number:08d}.tar").write_bytes(shard_of([members_of(number)]))
    return str(folder)


def measure(pool: str, turns: int) -> dict[str, float]:
    """Medians of ratios of CPU within a turn."""
    local = fsspec.filesystem("file")
    ways: dict[str, Callable[[], object]] = {
        "fsspec": lambda: local.find(pool, detail=True),
        "stat": lambda: [entry.stat() for entry in os.scandir(pool)],
        "open": lambda: open_pool(pool),
        "look": lambda: find_shards(pool),
    }
    first = [_seconds(ways) for _ in range(turns)]
    sys.stderr.write(f"waiting {_SETTLED_SECONDS} s, until the shards are old enough to be remembered\n")
    time.sleep(_SETTLED_SECONDS)
    find_shards(pool)
    if not list(node_folder().glob("digests-*.json")):
        raise AssertionError("what was looked into was not remembered")
    again = [_seconds(ways) for _ in range(turns)]
    return {
        "open_vs_fsspec": _ratio(first + again, "open", "fsspec"),
        "open_vs_stat": _ratio(first + again, "open", "stat"),
        "look_first_vs_open": _ratio(first, "look", "open"),
        "look_again_vs_open": _ratio(again, "look", "open"),
        "open_us": round(1e6 * statistics.median(turn["open"] for turn in first) / len(open_pool(pool).shards), 1),
    }


def _seconds(ways: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    taken = {}
    for name, act in ways.items():
        began = time.process_time()
        act()
        taken[name] = time.process_time() - began
    return taken


def _ratio(turns: list[dict[str, float]], above: str, below: str) -> float:
    return round(statistics.median(turn[above] / turn[below] for turn in turns), 2)


if __name__ == "__main__":
    sys.exit(main())
