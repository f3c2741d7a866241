"""Reading and decoding by a plan against webdataset, in CPU per sample, and the bytes that a small subset costs.

A pool of 8,000 samples (350 MB) is made: JPEGs of quality 95 whose longer side is 512, 41 KB each. All ways read it
from local disk with a warm page cache, each in a fresh process, in turns; of several turns each way's best counts. What
takes microseconds is the second pass of its process: the first pays for threads and memory. Bytes are counted between a
real S3 server and a process that reads an epoch, listing and plan included. Other loaders are compared if they are
installed (`make bench-peers`). The last line is one JSON object; a missed limit ends with exit code 1.

    python -m benchmarks.read [--turns 3] [--folder DIR] [--peers DIR]
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.counting_relay import counting_relay
from benchmarks.noisy_neighbour import noisy_neighbour
from benchmarks.read_peers import against_peers, installed_peers
from benchmarks.read_pool import ROWS, random_uids, write_planned, write_pool, write_ranges, write_resharded
from benchmarks.read_process import require_all, run_way
from benchmarks.read_ways import ReadPass, timed_pass
from benchmarks.verdict import verdict
from tests.s3_server import BUCKET, start_s3_server

SHARDS = 4
FRACTIONS = {"f002": 0.02, "f010": 0.1, "f040": 0.4, "f100": 1.0}
AT_LEAST = {"filter_speedup_f040": 8.0, "decode_speedup_bicubic": 1.35, "decode_speedup_fast": 2.0}
AT_MOST = {
    "resharded_ratio_f040": 0.5,
    "bytes_fraction_f002": 0.10,
    **{f"over_floor_{name}": 1.5 for name in FRACTIONS},
    **{f"bytes_over_kept_{name}": 1.1 for name in FRACTIONS},
}


def main() -> int:
    arguments = _arguments()
    peers = installed_peers(arguments.peers)
    with tempfile.TemporaryDirectory(prefix="bench-read-", dir=arguments.folder) as scratch:
        folder = Path(scratch)
        os.environ["TMPDIR"] = scratch  # where readers keep what they find out about a pool
        write_pool(folder / "pool", SHARDS)
        result = decoding(folder, arguments.turns) | filtering(folder, arguments.turns)
        result |= fractions(folder, 3 * arguments.turns) | beside_noise(folder, 3 * arguments.turns)
        result |= against_peers(folder, peers, SHARDS * ROWS, arguments.turns) | remote_bytes(folder)
    of_peers = {name: limit for peer in peers for name, limit in peer.limits.items()}
    return verdict(result | {"cores": len(os.sched_getaffinity(0))}, at_least=AT_LEAST, at_most=AT_MOST | of_peers)


def decoding(folder: Path, turns: int) -> dict[str, float]:
    """One shard, all of it, to batches of training pictures."""
    pool, plan = folder / "one", folder / "one.plan"
    pool.mkdir()
    (pool / "00000000.tar").hardlink_to(folder / "pool" / "00000000.tar")
    write_planned(str(pool), str(plan), str(folder / "one-tables"), None)
    used = _compare(
        {
            "webdataset-decoded": (pool, ""),
            "datascaler-bicubic": (pool, plan),
            "datascaler-fast": (pool, plan),
        },
        ROWS,
        turns,
        passes=1,
    )
    stock = used["webdataset-decoded"]
    return _microseconds(used) | {
        "decode_speedup_bicubic": round(stock / used["datascaler-bicubic"], 2),
        "decode_speedup_fast": round(stock / used["datascaler-fast"], 2),
    }


def filtering(folder: Path, turns: int) -> dict[str, float]:
    """40 % of the pool, encoded."""
    pool, plan, text, copy = (folder / name for name in ("pool", "f040.plan", "f040.txt", "resharded"))
    kept = random_uids(SHARDS * ROWS, 0.4)
    text.write_text("\n".join(kept))
    write_planned(str(pool), str(plan), str(folder / "tables"), kept)
    write_resharded(copy, pool, kept)
    used = _compare(
        {
            "webdataset-filtered": (pool, text),
            "webdataset-all": (copy, ""),
            "datascaler-first": (pool, plan),
            "datascaler-filtered": (pool, plan),
        },
        len(kept),
        turns,
        passes=2,
    )
    ours = used["datascaler-filtered"]
    return _microseconds(used) | {
        "filter_speedup_f040": round(used["webdataset-filtered"] / ours, 2),
        "resharded_ratio_f040": round(ours / used["webdataset-all"], 3),
    }


def fractions(folder: Path, pairs: int) -> dict[str, float]:
    """What a kept sample takes at several fractions, in pairs with a plain pread of the kept rows, and its bytes.

    All in this process, pass after pass, so that pairs are short: the machine's speed drifts.
    """
    result: dict[str, float] = {}
    for name, fraction in FRACTIONS.items():
        plan, tables = folder / f"{name}.plan", folder / "tables"
        kept = random_uids(SHARDS * ROWS, fraction)
        write_planned(str(folder / "pool"), str(plan), str(tables), kept)
        write_ranges(folder / f"{name}.npy", str(tables), kept)
        # Small subsets need more pairs.
        ours, floor = _pairs(folder, name, len(kept), max(pairs, round(pairs * 0.1 / fraction)))
        result |= {
            f"us_{name}": _us(ours),
            f"floor_us_{name}": _us(floor),
            f"over_floor_{name}": _over(ours, floor),
            f"bytes_over_kept_{name}": round(ours[-1].bytes / floor[-1].bytes, 3),
        }
    return result


def beside_noise(folder: Path, pairs: int) -> dict[str, float]:
    """The same at 40 %, while another process moves memory."""
    with noisy_neighbour():
        ours, floor = _pairs(folder, "f040", round(0.4 * SHARDS * ROWS), pairs)
    return {
        "noisy_us_f040": _us(ours),
        "noisy_floor_us_f040": _us(floor),
        "noisy_over_floor_f040": _over(ours, floor),
    }


def _pairs(folder: Path, name: str, kept: int, pairs: int) -> tuple[list[ReadPass], list[ReadPass]]:
    """Passes by the plan of this name and of a plain pread of its rows, in turns, after two that do not count: the
    first finds out where rows lie.
    """
    used: dict[str, list[ReadPass]] = {"datascaler-filtered": [], "pread": []}
    for _ in range(2 + pairs):
        for way, passes in used.items():
            subset = folder / (f"{name}.npy" if way == "pread" else f"{name}.plan")
            passes.append(timed_pass(way, str(folder / "pool"), str(subset)))
            require_all(way, passes[-1].samples, kept)
    return used["datascaler-filtered"][2:], used["pread"][2:]


def _us(passes: Sequence[ReadPass]) -> float:
    """CPU microseconds of a sample."""
    return round(1e6 * median(each.cpu_seconds / each.samples for each in passes), 1)


def _over(ours: Sequence[ReadPass], floor: Sequence[ReadPass]) -> float:
    return round(median(a.cpu_seconds / b.cpu_seconds for a, b in zip(ours, floor, strict=True)), 2)


def remote_bytes(folder: Path) -> dict[str, float]:
    """2 % of the pool in an S3 server."""
    (folder / "s3").mkdir()
    server = start_s3_server(folder / "s3")
    try:
        os.environ.update(server.environment)
        tars = sorted((folder / "pool").glob("*.tar"))
        filesystem = server.filesystem()
        for tar in tars:
            filesystem.put_file(str(tar), f"{BUCKET}/pool/{tar.name}")
        kept = random_uids(SHARDS * ROWS, 0.02)
        pool, plan = f"s3://{BUCKET}/pool", f"s3://{BUCKET}/f002.plan"
        write_planned(pool, plan, str(folder / "s3-tables"), kept)
        host, port = server.endpoint.removeprefix("http://").split(":")
        with counting_relay(host, int(port)) as (relay, received):
            environment = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{relay}"}
            samples, _ = run_way("datascaler-filtered", pool, plan, passes=1, environment=environment)
            require_all("datascaler-filtered", samples, len(kept))
        return {"bytes_fraction_f002": round(received.total / sum(tar.stat().st_size for tar in tars), 4)}
    finally:
        server.stop()


def _compare(ways: dict[str, tuple[Path, Path | str]], samples: int, turns: int, passes: int) -> dict[str, float]:
    """The least CPU seconds per sample of each way."""
    used: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(turns):
        for way, (pool, subset) in ways.items():
            found, seconds = run_way(way, pool, subset, passes)
            require_all(way, found, samples)
            used[way].append(seconds / found)
    return {way: min(seconds) for way, seconds in used.items()}


def _microseconds(used: dict[str, float]) -> dict[str, float]:
    return {f"{way.replace('-', '_')}_us": round(1e6 * seconds, 1) for way, seconds in used.items()}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--folder", help="for scratch, about 2.5 GB; removed at the end")
    parser.add_argument("--peers", type=Path, default=Path(".peers"), help="where `make bench-peers` put them")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
