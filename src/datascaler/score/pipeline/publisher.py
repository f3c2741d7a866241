"""Finished shards -> files, in a thread of its own, so that the network need not wait for storage."""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from types import TracebackType

import numpy as np
import pyarrow as pa

from datascaler import storage
from datascaler.data.pool.samples import OK
from datascaler.data.tables.score_table import Footer, publish_table, rows_table, vectors_url
from datascaler.errors import NotFoundError
from datascaler.score.pipeline.score_batches import ScoredBatch
from datascaler.tools.worker_threads import end_threads

_SHARDS_WAITING = 2


@dataclass(frozen=True, slots=True)
class FinishedShard:
    """All that its files are made of."""

    url: str
    """Where its table is published."""
    footer: Footer
    batches: Sequence[ScoredBatch]
    columns: pa.Schema
    """Those of the edit."""
    width: int | None
    """The width of the vectors to keep; None where none are kept."""
    overwrite: bool


class Publisher:
    """Publishes in the order of `submit`. An error comes out of the next call, or at the end of the context."""

    def __init__(self, count: Callable[[Footer], None]) -> None:
        """`count` is called with the footer of each table, in the thread that submits."""
        self._count = count
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="publish")
        self._waiting: deque[Future[Footer]] = deque()

    def submit(self, shard: FinishedShard) -> None:
        self._take(_SHARDS_WAITING - 1)
        self._waiting.append(self._executor.submit(publish_shard, shard))

    def __enter__(self) -> "Publisher":
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        """What is complete is published, even where the work was stopped, unless the store keeps it waiting."""
        end_threads(self._executor, cancel_futures=False)
        if kind is None:
            self._take(0)

    def _take(self, left: int) -> None:
        while self._waiting and (len(self._waiting) > left or self._waiting[0].done()):
            self._count(self._waiting.popleft().result())


def publish_shard(shard: FinishedShard) -> Footer:
    """Vectors first: the table is what says that a shard is done."""
    samples = list(chain.from_iterable(batch.samples for batch in shard.batches))
    table = rows_table(samples, list(chain.from_iterable(batch.scores for batch in shard.batches)))
    values = list(chain.from_iterable(batch.values for batch in shard.batches))
    for field in shard.columns:
        cells = [
            found.get(field.name) if sample.status == OK else None
            for sample, found in zip(samples, values, strict=True)
        ]
        table = table.append_column(field, pa.array(cells, field.type))
    # Another worker's files stay together, as its table will.
    taken = not shard.overwrite and storage.exists(shard.url) and has_vectors(shard.url)
    if shard.width is not None and not taken:
        _publish_vectors(vectors_url(shard.url), shard.batches, shard.width)
    return publish_table(shard.url, shard.footer, table, overwrite=shard.overwrite)


def _publish_vectors(url: str, batches: Sequence[ScoredBatch], width: int) -> None:
    """float16 [rows, width] `img` and `txt`, aligned with the table."""
    empty = np.zeros((0, width), np.float16)
    images, texts = [empty], [empty]
    for batch in batches:
        nothing = np.zeros((len(batch.samples), width), np.float16)
        image, text = batch.vectors or (nothing, nothing)
        images.append(image)
        texts.append(text)
    with storage.publish(url) as file:
        np.savez(file, img=np.concatenate(images), txt=np.concatenate(texts))


def has_vectors(table: str) -> bool:
    try:
        return storage.stat(vectors_url(table)).size > 0
    except NotFoundError:
        return False
