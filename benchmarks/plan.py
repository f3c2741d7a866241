"""How small a plan is, how fast one of 10M rows is built and opened, and that processes share it.

The pool exists as its score tables only: 1,000 shards of 10,000 rows, sizes of members log-normal with a mean of 35 KB
for a sample. The subset is a random 30 % of it. The last line is one JSON object; limits are checked, and a missed one
ends with exit code 1.

    python -m benchmarks.plan [--shards 1000] [--rows 10000] [--fraction 0.3] [--folder DIR]
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from benchmarks.verdict import verdict
from datascaler import storage
from datascaler.data.pool.shards import Shard
from datascaler.data.pool.uids import sort_order, uid_pairs
from datascaler.data.tables.score_table import Footer, publish_table, table_url

UID_BYTES = 16
LIMITS = {"bytes_per_pool_sample": 0.25, "build_seconds_10m": 60.0, "open_ms": 50.0, "private_kb_per_process": 0}
OPENINGS = 5
SHARING_PROCESSES = 2

BUILD = """
import sys, time
from pathlib import Path
from benchmarks.plan import pool_of
from datascaler.data.plan.compile_plan import build_plan
from datascaler.data.plan.plan_file import write_plan
from datascaler.data.subset.subset import read_subset
folder, shards, rows = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
began, used = time.perf_counter(), time.process_time()
plan, coverage = build_plan(pool_of(shards, rows), str(folder / "tables"), read_subset(str(folder / "subset.npy")))
write_plan(str(folder / "subset.plan"), plan)
print(time.perf_counter() - began, time.process_time() - used, coverage.present)
"""
OPEN = """
import sys, time
from pathlib import Path
from datascaler.data.plan.plan_file import map_plan
began = time.perf_counter()
plan = map_plan(Path(sys.argv[1]))
print(1000 * (time.perf_counter() - began))
"""
MAP = """
import sys
from pathlib import Path
from datascaler.data.plan.plan_file import map_plan
plan = map_plan(Path(sys.argv[1]))
print(sum(int(array.sum()) for array in plan.arrays.values()), flush=True)
sys.stdin.read()
"""


def main() -> int:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="bench-plan-", dir=arguments.folder) as scratch:
        result = measure(Path(scratch), arguments.shards, arguments.rows, arguments.fraction)
    return verdict(result, at_most=LIMITS)


def measure(folder: Path, shards: int, rows: int, fraction: float) -> dict[str, float]:
    wanted = write_tables(folder, shards, rows, fraction)
    np.save(folder / "subset.npy", wanted[sort_order(wanted)])
    seconds, cpu_seconds, kept = map(float, _python(BUILD, folder, shards, rows).split())
    if kept != len(wanted):
        raise AssertionError(f"the plan keeps {kept:,.0f} samples, not the {len(wanted):,} of the subset")
    plan = folder / "subset.plan"
    pool_rows = shards * rows
    return {
        "bytes_per_pool_sample": round(plan.stat().st_size / pool_rows, 4),
        "build_seconds_10m": round(seconds * 10e6 / pool_rows, 2),
        "open_ms": round(statistics.median(float(_python(OPEN, plan)) for _ in range(OPENINGS)), 2),
        "private_kb_per_process": max(private_kilobytes(plan)),
        "uid_list_bytes_per_pool_sample": round(UID_BYTES * len(wanted) / pool_rows, 2),
        "build_cpu_seconds_10m": round(cpu_seconds * 10e6 / pool_rows, 2),
        "table_bytes_per_row": round(_bytes_below(folder / "tables") / pool_rows, 2),
        "pool_rows": pool_rows,
        "kept_samples": len(wanted),
        "cores": len(os.sched_getaffinity(0)),
    }


def pool_of(shards: int, rows: int) -> list[Shard]:
    size = 35_000 * rows
    return [
        Shard(url=f"pool/shards/{number:08d}.tar", name=f"shards/{number:08d}.tar", size=size, etag=f"{number:032x}")
        for number in range(shards)
    ]


def write_tables(folder: Path, shards: int, rows: int, fraction: float) -> NDArray[np.void]:
    """A score table for every shard. Returns the uids of a random `fraction` of all rows, unsorted."""
    wanted = []
    for number, shard in enumerate(pool_of(shards, rows)):
        generator = np.random.default_rng(number)
        high, low = generator.integers(0, 1 << 64, (2, rows), dtype=np.uint64)
        # An image, a json and a text, each behind a header and filled up to 512 bytes.
        images = generator.lognormal(np.log(32_000) - 0.18, 0.6, rows) // 512 + 1
        lengths = (512 * (images + generator.integers(2, 4, rows) + 1 + 3)).astype(np.uint64)
        keys = pc.utf8_lpad(pa.array(np.arange(rows) + number * 10_000).cast(pa.string()), 12, "0")
        columns = {
            "uid_high": high,
            "uid_low": low,
            "key": keys,
            "offset": np.cumsum(lengths) - lengths,
            "length": lengths,
            "status": pa.DictionaryArray.from_arrays(np.zeros(rows, np.int32), ["ok"]).cast(pa.string()),
            "score": generator.normal(0.25, 0.05, rows).astype(np.float32),
        }
        footer = Footer(shard=shard.name, size=shard.size, etag=shard.etag, score_id="clip-x", method="clip")
        publish_table(table_url(str(folder / "tables"), shard), footer, pa.table(columns))
        keep = generator.random(rows) < fraction
        wanted.append(uid_pairs(high[keep], low[keep]))
    return np.concatenate(wanted)


def private_kilobytes(plan: Path) -> Iterator[int]:
    """Of several processes that have mapped a plan and read all of it: memory of it that each has to itself."""
    with ExitStack() as stack:
        processes = []
        for _ in range(SHARING_PROCESSES):
            command = [sys.executable, "-c", MAP, str(plan)]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            processes.append(stack.enter_context(process))
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()
        yield from [_private_of_mapping(process.pid, plan) for process in processes]
        for process in processes:
            assert process.stdin is not None
            process.stdin.close()


def _private_of_mapping(pid: int, path: Path) -> int:
    kilobytes = 0
    found = inside = False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        name, _, rest = line.partition(" ")
        if not name.endswith(":"):
            inside = line.endswith(str(path))
            found |= inside
        elif inside and name.startswith("Private_"):
            kilobytes += int(rest.split()[0])
    if not found:
        raise AssertionError(f"process {pid} has not mapped {path}")
    return kilobytes


def _bytes_below(folder: Path) -> int:
    return sum(info.size for info in storage.list_files(str(folder), recursive=True))


def _python(program: str, *arguments: object) -> str:
    """What a fresh interpreter prints."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--shards", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=10_000, help="of each shard")
    parser.add_argument("--fraction", type=float, default=0.3)
    parser.add_argument("--folder", help="for scratch, about 300 MB; removed at the end")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
