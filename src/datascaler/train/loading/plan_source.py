"""Samples by a plan: read where they are wanted, in the canonical order."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from datascaler import storage
from datascaler.data.plan.plan_file import map_plan
from datascaler.data.pool.samples import Sample
from datascaler.data.pool.shards import Shard
from datascaler.data.read.cache import BlockCache
from datascaler.data.read.order import Order
from datascaler.data.read.places import Places
from datascaler.data.read.reader import Reader


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """A plan and its pool, to be opened in a loader worker."""

    plan_path: Path
    """A local file; the workers of a node share its pages."""
    shards: Sequence[Shard]
    """The pool's shards, in the plan's order."""
    cache_dir: str | None = None
    cache_bytes: int = 0

    def open(self, *, seed: int, batch_size: int, end: int) -> "PlannedFeed":
        # Whoever listed the pool has had answers: an outage now is waited out from this process's first request on.
        storage.assume_answers(self.shards[0].url)
        plan = map_plan(self.plan_path, checked=True)
        order = Order.of(plan, seed, batch_size)
        cache = BlockCache(Path(self.cache_dir), self.cache_bytes) if self.cache_dir else None
        places = Places.of(plan, self.plan_path, self.shards) if storage.is_local(self.shards[0].url) else None
        return PlannedFeed(order, Reader(plan, self.shards, order, end=end, cache=cache, places=places))


class PlannedFeed:
    def __init__(self, order: Order, reader: Reader) -> None:
        self._order, self._reader = order, reader

    def part(self, first: int, size: int, index: int, of: int) -> Iterator[tuple[int, Iterator[Sample]]]:
        draws = self._order.share(first, size, index, of)
        self._reader.start(draws)
        for draw in draws:
            yield draw.number, self._reader.candidates(draw)

    def at(self, number: int) -> Iterator[Sample]:
        """The sample of one draw and those that stand in for it; its window is read only for a stand-in."""
        draw = self._order.draw(number)
        yield self._reader.alone(draw)
        yield from islice(self._reader.candidates(draw), 1, None)

    def close(self) -> None:
        self._reader.close()
