"""Other loaders on the pool of the reading benchmark. Each has its own environment, so nothing of ours is imported.

    python read_peer.py PEER write POOL COPY
    python read_peer.py PEER read COPY ROWS PASSES

`write` makes the peer's own copy of a pool of tars. `read` takes samples from that copy in the way that costs the peer
least, PASSES times, and prints of the last pass what `benchmarks.read_ways` prints. ROWS is an .npy of ascending row
numbers.
"""

import json
import sys
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

SUFFIXES = ("jpg", "json", "txt")
"""In the order of the tar."""

Reading = Callable[[], Iterable[Mapping[str, bytes | memoryview]]]
"""Begins a pass."""


def write_mosaic(pool: str, copy: str) -> None:
    from streaming import MDSWriter

    with MDSWriter(out=copy, columns=dict.fromkeys(SUFFIXES, "bytes")) as writer:
        for tar in _tars(pool):
            for sample in samples_of(tar):
                writer.write(sample)


def mosaic(copy: str, rows: list[int]) -> Reading:
    """By index, which takes less than an iteration over a part of the rows."""
    from streaming import StreamingDataset

    dataset = StreamingDataset(local=copy, batch_size=1)
    return lambda: map(dataset.__getitem__, rows)


def write_litdata(pool: str, copy: str) -> None:
    from litdata import optimize

    optimize(fn=samples_of, inputs=_tars(pool), output_dir=copy, chunk_bytes="64MB", num_workers=1)


def litdata(copy: str, rows: list[int]) -> Reading:
    """All rows, for by index each takes thirty times as long."""
    from litdata import StreamingDataset

    if len(StreamingDataset(copy)) != len(rows):
        raise AssertionError("LitData is measured on all rows only")
    return lambda: StreamingDataset(copy)


PEERS: dict[str, tuple[Callable[[str, str], None], Callable[[str, list[int]], Reading]]] = {
    "mosaic": (write_mosaic, mosaic),
    "litdata": (write_litdata, litdata),
}


def samples_of(tar: str) -> Iterator[dict[str, bytes]]:
    with tarfile.open(tar) as members:
        sample: dict[str, bytes] = {}
        for member in members:
            content = members.extractfile(member)
            sample[member.name.rpartition(".")[2]] = content.read() if content else b""
            if len(sample) == len(SUFFIXES):
                yield sample
                sample = {}


def measure(reading: Reading, passes: int) -> dict[str, Any]:
    for _ in range(passes):
        given = reading()
        began = time.process_time()
        # LitData gives views of a mapped file, of which nothing has been read before somebody looks: a decoder does.
        samples = sum(bool(bytes(sample["jpg"]) and str(sample["txt"], "utf-8")) for sample in given)
        used = time.process_time() - began
    return {"samples": samples, "cpu_seconds": used}


def _tars(pool: str) -> list[str]:
    return sorted(map(str, Path(pool).glob("*.tar")))


def main() -> None:
    peer, verb, *places = sys.argv[1:]
    write, read = PEERS[peer]
    if verb == "write":
        write(*places)
    else:
        copy, rows, passes = places
        sys.stdout.write("\n" + json.dumps(measure(read(copy, np.load(rows).tolist()), int(passes))))


if __name__ == "__main__":
    main()
