"""What the network's thread is fed: the shards that are to be scored, read ahead, as batches in the making."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace

from datascaler.data.pool.shards import Shard
from datascaler.data.read.stream_shard import stream_shard
from datascaler.data.tables.score_table import Footer
from datascaler.errors import BadInputError, NotFoundError
from datascaler.score.pipeline.decoders import Decoders
from datascaler.score.pipeline.image_edit import ImageEdit
from datascaler.score.pipeline.prepare_samples import Prepared
from datascaler.score.pipeline.score_batches import batches_of
from datascaler.tools.ordered_map import in_order

_CHECKS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Done:
    """A shard whose table was there already."""

    footer: Footer


@dataclass(frozen=True, slots=True)
class Gone:
    """A shard that can't be read, or whose table is damaged. Its batches so far are for nothing."""

    shard: Shard
    error: NotFoundError | BadInputError


@dataclass(frozen=True, slots=True)
class SampleBatch:
    parts: list["Future[Prepared]"]


@dataclass(frozen=True, slots=True)
class End:
    """All batches of the shard have come, which knows its digest now."""

    shard: Shard


def feed(
    shards: Sequence[Shard],
    done: Callable[[Shard], Footer | None],
    batch_size: int,
    workers: Decoders,
    edit: ImageEdit | None,
) -> Iterator[Done | Gone | SampleBatch | End]:
    """Yield for every shard, in order, Done, or its batches and then End or Gone.

    `done` gives the footer of a shard that needs no work; it is asked about a few shards ahead.
    """

    def checked(shard: Shard) -> Footer | BadInputError | None:
        try:
            return done(shard)
        except BadInputError as error:
            return error

    for shard, footer in zip(shards, in_order(checked, shards, _CHECKS_AT_ONCE), strict=True):
        if isinstance(footer, BadInputError):
            yield Gone(shard, footer)
            continue
        if footer is not None:
            yield Done(footer)
            continue
        try:
            notes = edit.notes(shard) if edit else None
            digests: list[str] = []
            for parts in batches_of(stream_shard(shard, on_digest=digests.append), notes, batch_size, workers):
                yield SampleBatch(parts)
        except (NotFoundError, BadInputError) as error:
            yield Gone(shard, error)
        else:
            yield End(replace(shard, digest="".join(digests) or shard.digest))
