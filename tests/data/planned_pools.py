"""Small pools with a plan of many small blocks, and who drew what."""

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from datascaler.data.plan.compile_plan import build_plan
from datascaler.data.plan.plan import Plan, match_shards
from datascaler.data.pool.samples import Sample
from datascaler.data.pool.shards import Shard, find_shards
from datascaler.data.pool.uids import sort_order, uid_array, uid_of
from datascaler.data.read.cache import BlockCache
from datascaler.data.read.order import Order
from datascaler.data.read.reader import Reader
from datascaler.data.tables.index_tables import index_pool
from datascaler.storage import identity
from tests.data.read.test_order import reference_draws
from tests.data.tars import members_of, shard_of

STREAMS = 5
"""Divides neither the pools nor the batches of these tests."""


@dataclass
class Pool:
    url: str
    shards: list[Shard]
    plan: Plan

    @property
    def blocks(self) -> int:
        return len(self.plan.arrays["block_kept"])

    def order(self, seed: int = 5) -> Order:
        return Order(self.plan.arrays["block_kept"], seed, STREAMS, self.plan.copies)

    @contextmanager
    def reader(self, order: Order, end: int | None = None, cache: BlockCache | None = None) -> Iterator[Reader]:
        reader = Reader(self.plan, match_shards(self.plan, self.shards), order, end=end, cache=cache)
        try:
            yield reader
        finally:
            reader.close()

    def drawn(self, order: Order, epochs: int = 1, cache: BlockCache | None = None) -> list[int]:
        """The numbers of the first readable samples for every draw."""
        end = epochs * order.samples
        with self.reader(order, end, cache) as reader:
            return [number_of(first_readable(reader, order, number)) for number in range(end)]

    def expected(self, order: Order, seed: int, epochs: int) -> list[tuple[str, int]]:
        """(shard, row) of every draw."""
        firsts: list[list[tuple[str, int]]] = []
        copies: list[list[tuple[str, int]]] = []
        for block in map(self.plan.block, range(self.blocks)):
            rows = self.plan.kept_rows(block.shard, block.first_row, block.end_row - block.first_row).tolist()
            left = Counter((self.plan.shards[block.shard].name, row) for row in rows)
            parts = []
            while left:
                parts.append(sorted(left))
                left -= Counter(parts[-1])
            firsts += parts[:1]
            copies += parts[1:]
        everything = [*firsts, *copies]
        return [place for epoch in range(epochs) for place in reference_draws(everything, seed, epoch, order.streams)]


def planned(url: str, uids: Sequence[str] | None, tables: str) -> Pool:
    shards = find_shards(url)
    index_pool(shards, tables)
    pairs = None if uids is None else uid_array(uids)[sort_order(uid_array(uids))]
    return Pool(url, shards, build_plan(shards, tables, pairs)[0])


def tar_pool(folder: Path, shards: Sequence[Sequence[Mapping[str, bytes]]], uids: Sequence[str] | None = None) -> Pool:
    """A pool of these samples, shard by shard, with its plan."""
    pool = folder / "pool"
    pool.mkdir(parents=True)
    for number, samples in enumerate(shards):
        (pool / f"{number}.tar").write_bytes(shard_of(samples))
    return planned(str(pool), uids, str(folder / "index"))


def numbered_pool(folder: Path, samples: int, shards: int = 1) -> Pool:
    """Sample n has the caption "caption n"; shards are equal."""
    each = samples // shards
    numbers = [range(shard * each, (shard + 1) * each) for shard in range(shards)]
    return tar_pool(folder, [[members_of(number) for number in inside] for inside in numbers])


def uid_of_number(number: int) -> str:
    return uid_of(f"caption {number}", str(number))


def first_readable(reader: Reader, order: Order, number: int) -> Sample:
    return next(sample for sample in reader.candidates(order.draw(number)) if sample.image)


def number_of(sample: Sample) -> int:
    return int(re.findall(r"caption (\d+)", sample.caption)[0])


def rows_of_blocks(plan: Plan, row: int) -> range:
    """The rows of the block of shard 0 that holds a row."""
    last = int(plan.arrays["shard_blocks"][1])
    block = next(each for each in map(plan.block, range(last)) if each.first_row <= row < each.end_row)
    return range(block.first_row, block.end_row)


def overwrite_unseen(path: Path, content: bytes) -> None:
    """Change a file behind the back of whoever looks at its size only, as where `identity_is_size`."""
    before = path.stat()
    path.write_bytes(content)
    os.truncate(path, before.st_size)


def identity_is_size(patch: pytest.MonkeyPatch) -> None:
    """As if no spot that identity looks at were ever damaged."""
    patch.setattr(identity, "_spots", lambda _: [])


def seeded(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)
