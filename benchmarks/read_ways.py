"""The ways to read a pool that are compared, each run in a process of its own.

    python -m benchmarks.read_ways WAY POOL SUBSET PASSES

reads the pool PASSES times and prints, of the last pass, the samples that came out and the CPU seconds of the process:
all its threads and system calls, but not the opening of the subset. SUBSET is a plan for datascaler, a text of uids for
webdataset, and not used where everything is read.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import webdataset as wds
from open_clip import image_transform

from datascaler import storage
from datascaler.data.plan.plan import match_shards
from datascaler.data.plan.plan_file import map_plan
from datascaler.data.pool.samples import Sample
from datascaler.data.pool.shards import find_shards
from datascaler.spec.train import Decoder
from datascaler.train.loading.augment import decode_crop
from datascaler.train.loading.plan_source import Planned
from datascaler.train.loading.sample_source import first_decoded

SIDE = 224
BATCH_SIZE = 256


def webdataset_decoded(pool: str, _: str) -> Iterator[int]:
    """Batches of open_clip's training pictures, float32, by the stages of open_clip's own pipeline."""
    transform = image_transform(SIDE, is_train=True)
    yield 0
    for images, _captions in wds.DataPipeline(
        *_tar_stages(pool),
        wds.select(lambda sample: "txt" in sample and "jpg" in sample),
        wds.decode("pilrgb"),
        wds.rename(image="jpg;png;jpeg;webp", text="txt"),
        wds.map_dict(image=transform),
        wds.to_tuple("image", "text"),
        wds.batched(BATCH_SIZE, partial=True),
    ):
        yield len(images)


def webdataset_filtered(pool: str, subset: str) -> Iterator[int]:
    """Encoded samples whose uid, from the json, is in a Python set."""
    uids = set(Path(subset).read_text().split())

    def is_kept(sample: dict[str, Any]) -> bool:
        return json.loads(sample["json"])["uid"] in uids

    yield 0
    for _ in wds.DataPipeline(*_tar_stages(pool), wds.select(is_kept)):
        yield 1


def webdataset_all(pool: str, _: str) -> Iterator[int]:
    """Encoded samples, all of them."""
    yield 0
    for _ in wds.DataPipeline(*_tar_stages(pool)):
        yield 1


def pread(pool: str, ranges: str) -> Iterator[int]:
    """The floor: the bytes of each kept row, read one after another into the same memory, and looked at by nobody.
    `ranges` is an .npy of shard number, offset and length, [k, 3].
    """
    rows = np.load(ranges).tolist()
    buffer = memoryview(bytearray(max(length for *_, length in rows)))
    files = [os.open(tar, os.O_RDONLY) for tar in sorted(map(str, Path(pool).glob("*.tar")))]
    yield 0
    for shard, offset, length in rows:
        if os.preadv(files[shard], [buffer[:length]], offset) != length:
            raise AssertionError(f"shard {shard} ends before {offset + length}")
        yield 1
    for file in files:
        os.close(file)


def datascaler_filtered(pool: str, plan: str) -> Iterator[int]:
    """Encoded samples and their captions, an epoch of them in the canonical order."""
    with _planned(pool, plan) as batches:
        yield 0
        for batch in batches:
            for _, candidates in batch:
                sample = next(candidates)
                if not (sample.image and sample.caption):
                    raise AssertionError(f"row {sample.row} was not read: {sample.detail}")
                yield 1


def datascaler_first(pool: str, plan: str) -> Iterator[int]:
    """The same when nobody has read by this plan before, so that nothing is known of where its rows lie."""
    with tempfile.TemporaryDirectory() as tempfile.tempdir:
        yield from datascaler_filtered(pool, plan)
    tempfile.tempdir = None


def datascaler_decoded(how: Decoder, pool: str, plan: str) -> Iterator[int]:
    """Batches of training pictures, uint8, as the loader of `datascaler train` makes them."""
    with _planned(pool, plan) as batches:
        yield 0
        for batch in batches:
            images = [
                first_decoded(candidates, partial(decode_crop, side=SIDE, seed=0, draw=draw, how=how))[0]
                for draw, candidates in batch
            ]
            yield len(torch.stack(images))


@contextmanager
def _planned(pool: str, plan: str) -> Iterator[Iterator[Iterator[tuple[int, Iterator[Sample]]]]]:
    """The batches of an epoch, each as draws with their samples, as a training process gets them."""
    with storage.local_copy(plan) as path:
        opened = map_plan(path)
        source = Planned(plan_path=path, shards=match_shards(opened, find_shards(pool)))
        feed = source.open(seed=0, batch_size=BATCH_SIZE, end=opened.samples)
        try:
            firsts = range(0, opened.samples, BATCH_SIZE)
            yield (feed.part(first, min(BATCH_SIZE, opened.samples - first), 0, 1) for first in firsts)
        finally:
            feed.close()


def _tar_stages(pool: str) -> list[Any]:
    return [wds.SimpleShardList(sorted(map(str, Path(pool).glob("*.tar")))), wds.tarfile_to_samples()]


WAYS: dict[str, Callable[[str, str], Iterator[int]]] = {
    "webdataset-decoded": webdataset_decoded,
    "webdataset-filtered": webdataset_filtered,
    "webdataset-all": webdataset_all,
    "pread": pread,
    "datascaler-filtered": datascaler_filtered,
    "datascaler-first": datascaler_first,
    "datascaler-bicubic": partial(datascaler_decoded, "bicubic"),
    "datascaler-fast": partial(datascaler_decoded, "fast"),
}
"""(pool, subset) -> 0 when all is open, then numbers of samples as they come."""


class ReadPass(NamedTuple):
    """One pass of a way: the samples that it yields, its CPU seconds, and the bytes that its system calls have read."""

    samples: int
    cpu_seconds: float
    bytes: int


def timed_pass(way: str, pool: str, subset: str) -> ReadPass:
    """In this process, with all its threads; the opening of the subset is not in it."""
    counts = WAYS[way](pool, subset)
    next(counts)
    began, read = time.process_time(), _bytes_read()
    samples = sum(counts)
    return ReadPass(samples, time.process_time() - began, _bytes_read() - read)


def _bytes_read() -> int:
    """Linux's count of what this process's calls have read, from whatever it was."""
    return int(Path("/proc/self/io").read_text().split()[1])


def main() -> None:
    way, pool, subset, passes = sys.argv[1:]
    # As in a loader worker.
    torch.set_num_threads(1)
    for _ in range(int(passes)):
        last = timed_pass(way, pool, subset)
    sys.stdout.write(json.dumps({"samples": last.samples, "cpu_seconds": last.cpu_seconds}))


if __name__ == "__main__":
    main()
