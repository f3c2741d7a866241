"""Exact selection in bounded memory, against numpy with the whole pool in memory.

12,800 score tables of 10,000 rows are written, as scoring writes them, 1 % of their rows bad. Then two fresh processes
one after the other read them by the same reader with as many threads, keep the best 30 %, and write the sorted `.npy`:
datascaler's selection, and what a good numpy user would write. Time is that of the work alone, imports left out. Peak
memory is the anonymous memory (smaps_rollup) of a process and its children, 20 times a second: what is its own, not the
page cache and not what it has mapped of files. The last line is one JSON object; a missed limit ends with exit code 1.

    python -m benchmarks.select [--tables 12800] [--rows 10000] [--fraction 0.3] [--folder DIR]
"""

import argparse
import filecmp
import os
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.verdict import verdict
from datascaler import storage
from datascaler.data.pool.samples import BAD_IMAGE, OK
from datascaler.data.pool.shards import Shard
from datascaler.data.pool.uids import sort_order, uid_pairs
from datascaler.data.select.scored_pool import TableScores
from datascaler.data.select.select import select
from datascaler.data.select.table_pass import each_batch
from datascaler.data.tables.score_table import Footer, publish_table, table_url
from datascaler.spec.select_rule import SelectRule

LIMITS = {"time_ratio": 1.5, "peak_mb": 1024}
BAD_SHARE = 0.01
MEASURE_SECONDS = 0.05


def main() -> int:
    arguments = _arguments()
    if arguments.way:
        WAYS[arguments.way](_tables(Path(arguments.folder)), Fraction(arguments.fraction), Path(arguments.folder))
        return 0
    with tempfile.TemporaryDirectory(prefix="bench-select-", dir=arguments.folder) as scratch:
        result = measure(Path(scratch), arguments.tables, arguments.rows, arguments.fraction)
    return verdict(result, at_most=LIMITS, at_least={"equal": True})


def measure(folder: Path, tables: int, rows: int, fraction: str) -> dict[str, float]:
    for number in range(tables):
        write_table(folder, number, rows)
    seconds, peak_mb = _run("datascaler", fraction, folder)
    numpy_seconds, numpy_peak_mb = _run("numpy", fraction, folder)
    return {
        "time_ratio": round(seconds / numpy_seconds, 2),
        "peak_mb": round(peak_mb),
        "equal": filecmp.cmp(folder / "selected.npy", folder / "numpy.npy", shallow=False),
        "seconds": round(seconds, 1),
        "numpy_seconds": round(numpy_seconds, 1),
        "numpy_peak_mb": round(numpy_peak_mb),
        "rows": tables * rows,
        "kept": len(np.load(folder / "selected.npy", mmap_mode="r")),
        "table_bytes_per_row": round(sum(map(os.path.getsize, _tables(folder))) / (tables * rows), 1),
        "cores": len(os.sched_getaffinity(0)),
    }


def write_table(folder: Path, number: int, rows: int) -> None:
    generator = np.random.default_rng(number)
    lengths = (512 * (generator.lognormal(np.log(32_000) - 0.18, 0.6, rows) // 512 + 6)).astype(np.uint64)
    bad = generator.random(rows) < BAD_SHARE
    scores = generator.normal(0.22, 0.06, rows).astype(np.float32)
    scores[bad] = np.nan
    columns = {
        "uid_high": generator.integers(0, 1 << 64, rows, dtype=np.uint64),
        "uid_low": generator.integers(0, 1 << 64, rows, dtype=np.uint64),
        "key": [f"{number:05d}{row:07d}" for row in range(rows)],
        "offset": np.cumsum(lengths) - lengths,
        "length": lengths,
        "status": pa.DictionaryArray.from_arrays(bad.astype(np.int32), [OK, BAD_IMAGE]).cast(pa.string()),
        "score": scores,
    }
    shard = Shard(url=f"pool/{number:08d}.tar", name=f"{number:08d}.tar", size=35_000 * rows, etag=f"{number:032x}")
    footer = Footer(shard=shard.name, size=shard.size, etag=shard.etag, score_id="clip-x", method="clip")
    publish_table(table_url(str(folder / "tables"), shard), footer, pa.table(columns))


def with_datascaler(tables: list[str], fraction: Fraction, folder: Path) -> None:
    began = time.perf_counter()
    select(TableScores(tables), SelectRule(fraction=fraction), folder)
    sys.stdout.write(f"{time.perf_counter() - began}\n")


def with_numpy(tables: list[str], fraction: Fraction, folder: Path) -> None:
    """Ties included: without a rule for them the kept set would be any of several.

    np.partition and a comparison are quicker than np.argpartition and a gather from all over the pool.
    """
    began = time.perf_counter()
    pool = TableScores(tables)
    parts = [part for batch in each_batch(len(tables), lambda batch: [*map(pool.scored_uids, batch)]) for part in batch]
    scores = np.concatenate([scores for scores, _ in parts])
    high, low = (np.concatenate([uids[half] for _, uids in parts]) for half in (0, 1))
    del parts
    scores[np.isnan(scores)] = -np.inf
    kept_rows = int(fraction * len(scores))
    threshold = np.partition(scores, len(scores) - kept_rows)[len(scores) - kept_rows]
    better, ties = np.flatnonzero(scores > threshold), np.flatnonzero(scores == threshold)
    ties = ties[np.lexsort((low[ties], high[ties]))]
    rows = np.concatenate([better, ties[: kept_rows - len(better)]])
    np.save(folder / "numpy.npy", _sorted(high[rows], low[rows]))
    sys.stdout.write(f"{time.perf_counter() - began}\n")


def _sorted(high: NDArray[np.uint64], low: NDArray[np.uint64]) -> NDArray[np.void]:
    """By the first half alone, which is several times faster than lexsort and enough unless two uids share it."""
    order = np.argsort(high)
    pairs = uid_pairs(high[order], low[order])
    shared = (pairs["f0"][1:] == pairs["f0"][:-1]).any()
    return pairs[sort_order(pairs)] if shared else pairs


WAYS = {"datascaler": with_datascaler, "numpy": with_numpy}


def _run(way: str, fraction: str, folder: Path) -> tuple[float, float]:
    """Seconds and peak megabytes of one way in a fresh process."""
    os.sync()
    command = [sys.executable, "-m", "benchmarks.select", "--way", way, "--fraction", fraction, "--folder", str(folder)]
    peak = 0.0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            peak = max(peak, sum(map(_anonymous_mb, _family(process.pid))))
            time.sleep(MEASURE_SECONDS)
        assert process.stdout is not None
        printed = process.stdout.read()
    if process.returncode:
        raise SystemExit(f"{way} ended with exit code {process.returncode}")
    return float(printed), peak


def _family(pid: int) -> list[int]:
    """A process and all below it."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(each for child in children for each in _family(int(child)))]


def _anonymous_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has ended
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Anonymous:")) / 1024


def _tables(folder: Path) -> list[str]:
    return [info.url for info in storage.list_files(str(folder / "tables"), ".parquet")]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tables", type=int, default=12_800)
    parser.add_argument("--rows", type=int, default=10_000, help="of each table")
    parser.add_argument("--fraction", default="0.3")
    parser.add_argument("--folder", help="for scratch, about 5 GB at full size; removed at the end")
    parser.add_argument("--way", choices=list(WAYS), help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
