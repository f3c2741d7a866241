"""CPU of the two storage clients: per ranged GET and per megabyte, against a real S3 server in a process of its own.

Each client works in fresh processes, in turn with the other; only their own CPU time is counted, user and system, after
a first read. The last line is one JSON object; limits are checked, and a missed one ends with exit code 1.

    python -m benchmarks.client [--rounds 3] [--folder DIR]
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.verdict import verdict
from datascaler import storage
from tests.s3_server import BUCKET, S3Server, start_s3_server

CLIENTS = ("fsspec", "obstore")
LIMITS = {"request_cpu_ratio": 4.0, "megabyte_cpu_ratio": 1.3}
"""s3fs by obstore, at least."""
OBJECT_BYTES = 128 << 20
BLOCK_BYTES = 8 << 20
"""A training reader's largest piece."""
RANGE_BYTES = 18_000
"""About a small sample of a DataComp pool."""
RANGES_A_CALL = 50
RANGE_CALLS = 40
BULK_PASSES = 2


def main() -> int:
    arguments = _arguments()
    if arguments.work:
        sys.stdout.write(json.dumps(work(*arguments.work)) + "\n")
        return 0
    with tempfile.TemporaryDirectory(prefix="bench-client-", dir=arguments.folder) as scratch:
        server = start_s3_server(Path(scratch))
        try:
            result = measure(server, arguments.rounds)
        finally:
            server.stop()
    return verdict(result, at_least=LIMITS)


def measure(server: S3Server, rounds: int) -> dict[str, float]:
    path = f"{BUCKET}/object"
    server.filesystem().pipe_file(path, random.Random(0).randbytes(OBJECT_BYTES))
    found: dict[str, list[dict[str, float]]] = {client: [] for client in CLIENTS}
    for _ in range(rounds):
        for client in CLIENTS:
            command = [sys.executable, "-m", "benchmarks.client", "--work", client, f"s3://{path}"]
            done = subprocess.run(
                command, env={**os.environ, **server.environment}, stdout=subprocess.PIPE, check=True, text=True
            )
            found[client].append(json.loads(done.stdout))
    slow, fast = (_best(found[client]) for client in CLIENTS)
    return {
        "request_cpu_ratio": round(slow["request_cpu_ms"] / fast["request_cpu_ms"], 2),
        "megabyte_cpu_ratio": round(slow["megabyte_cpu_ms"] / fast["megabyte_cpu_ms"], 2),
        "stream_cpu_ratio": round(slow["stream_megabyte_cpu_ms"] / fast["stream_megabyte_cpu_ms"], 2),
        **{f"s3fs_{name}": round(value, 3) for name, value in slow.items()},
        **{f"obstore_{name}": round(value, 3) for name, value in fast.items()},
        "rounds": rounds,
        "cores": len(os.sched_getaffinity(0)),
    }


def _best(runs: list[dict[str, float]]) -> dict[str, float]:
    """Whatever else runs on the machine only adds to a cost and takes from a speed."""
    return {name: (max if name.endswith("per_second") else min)(run[name] for run in runs) for name in runs[0]}


def work(client: storage.ClientName, url: str) -> dict[str, float]:
    """What one client costs in this process."""
    storage.use_client(client)
    storage.read_ranges(url, [(0, 1)] * RANGES_A_CALL)  # imports, connections
    generator = random.Random(1)
    starts = [generator.randrange(OBJECT_BYTES - RANGE_BYTES) for _ in range(RANGES_A_CALL * RANGE_CALLS)]
    blocks = [(start, start + BLOCK_BYTES) for start in range(0, OBJECT_BYTES, BLOCK_BYTES)]

    def read_small() -> None:
        for at in range(0, len(starts), RANGES_A_CALL):
            storage.read_ranges(url, [(start, start + RANGE_BYTES) for start in starts[at : at + RANGES_A_CALL]])

    def read_blocks() -> None:
        for _ in range(BULK_PASSES):
            for at in range(0, len(blocks), 4):
                storage.read_ranges(url, blocks[at : at + 4])

    def stream() -> None:
        for _ in range(BULK_PASSES):
            with storage.open_read(url) as file:
                while file.read(1 << 20):
                    pass

    megabytes = BULK_PASSES * OBJECT_BYTES / 1e6
    small_cpu, small_seconds = _cost(read_small)
    bulk_cpu, bulk_seconds = _cost(read_blocks)
    stream_cpu, _ = _cost(stream)
    return {
        "request_cpu_ms": 1000 * small_cpu / len(starts),
        "megabyte_cpu_ms": 1000 * bulk_cpu / megabytes,
        "stream_megabyte_cpu_ms": 1000 * stream_cpu / megabytes,
        "requests_per_second": len(starts) / small_seconds,
        "megabytes_per_second": megabytes / bulk_seconds,
    }


def _cost(act: Callable[[], None]) -> tuple[float, float]:
    """(CPU seconds of all threads of this process, seconds)"""
    began, used = time.perf_counter(), time.process_time()
    act()
    return time.process_time() - used, time.perf_counter() - began


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", help="for the server's data, instead of the system's temporary folder")
    parser.add_argument("--work", nargs=2, metavar=("CLIENT", "URL"), help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
