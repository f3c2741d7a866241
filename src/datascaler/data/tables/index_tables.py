"""Index tables: what a score table knows of a shard, without a score. They serve pools that nobody has scored."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import IO, cast

from datascaler import storage
from datascaler.data.pool.samples import DAMAGED_TAR, Sample, group_members, samples_of
from datascaler.data.pool.shard_list import frozen_shards, verified_shards
from datascaler.data.pool.shards import Shard, pool_digest, require_unchanged
from datascaler.data.pool.tar import Member, walk_tar
from datascaler.data.tables.score_table import (
    Footer,
    count_table,
    finished_footer,
    index_footer,
    name_bad_rows,
    require_usable,
    table_url,
    write_table,
)
from datascaler.errors import BadInputError, ConfigError, NotFoundError
from datascaler.progress import progress
from datascaler.tools.ordered_map import read_in_order

_EXAMPLES = 5


@dataclass(slots=True)
class IndexSummary:
    """Counts over the shards that were asked for."""

    tables: str
    """Folder of the index tables."""
    shards: int = 0
    skipped: int = 0
    """Shards whose table was there already; their rows are counted too."""
    rows: int = 0
    ok: int = 0
    bad: dict[str, int] = field(default_factory=dict)
    """Rows by status."""
    bad_examples: dict[str, str] = field(default_factory=dict)
    """The shard and the key of a row of each of these statuses."""
    damaged: list[str] = field(default_factory=list)
    """Shards that can be followed to some point only; what lies before it is indexed."""

    def add(self, footer: Footer, *, skipped: bool) -> None:
        count_table(self, footer)
        self.skipped += skipped
        if DAMAGED_TAR in footer.bad:
            self.damaged.append(footer.shard)


def index_part(data_dir: str, output_dir: str, *, index: int = 0, count: int = 1, num_workers: int = 4) -> IndexSummary:
    """Index the shards index, index + count, ... of a pool, as `output_dir/shards.parquet` lists it.

    Raises as `index_pool` does, BadInputError where not one row can be used, and ConfigError for a pool that changed
    since its list was frozen.
    """
    if count < 1 or not 0 <= index < count:
        raise ConfigError(f"index must be in 0..count - 1, got {index} of {count}")
    storage.check_writable(output_dir)
    shards = frozen_shards(output_dir, data_dir)
    mine = verified_shards(output_dir, shards[index::count], data_dir)
    summary = index_pool(mine, index_folder(output_dir, shards), num_workers)
    require_usable(summary, "can be used", may_be_empty=count > 1)
    return summary


def index_folder(output_dir: str, shards: Sequence[Shard]) -> str:
    """Where the index tables of a pool are, given all of its shards."""
    return storage.join(output_dir, "index", pool_digest(shards))


def index_pool(shards: Sequence[Shard], folder: str, num_workers: int = 4) -> IndexSummary:
    """Write the index table of every shard that has none yet. No image is decoded.

    Raises BadInputError, after all other shards are done, if some are gone or have a damaged table.
    """
    if num_workers < 1:
        raise ConfigError(f"num-workers must be at least 1, got {num_workers}")
    summary = IndexSummary(folder)
    gone: list[NotFoundError | BadInputError] = []
    with progress(len(shards), "index", unit="shard") as bar:
        for done in read_in_order(partial(_index_shard, folder=folder), shards, num_workers):
            if isinstance(done, NotFoundError | BadInputError):
                gone.append(done)
            else:
                footer, skipped = done
                summary.add(footer, skipped=skipped)
            bar.update()
    name_bad_rows(summary, folder)
    if gone:
        what = "are gone" if all(isinstance(error, NotFoundError) for error in gone) else "are gone or damaged"
        examples = "; ".join(str(error) for error in gone[:_EXAMPLES])
        raise BadInputError(f"{len(gone)} of {len(shards)} shards {what}, the others are indexed: {examples}").after(
            summary
        )
    return summary


def read_shard(
    shard: Shard,
    members_of: Callable[[IO[bytes]], Iterable[Member]] = walk_tar,
    on_digest: Callable[[str], None] | None = None,
) -> Iterator[Sample]:
    """The samples of a shard, in tar order. `members_of` takes the members from its bytes; `on_digest` is given the
    digest of a remote shard at the end, as it has been read.

    Raises ConfigError where it is not the one pinned, before or after them.
    """
    require_unchanged(shard)
    with storage.translated_errors(shard.url), storage.open_read(shard.url) as file:
        if on_digest is None or storage.is_local(shard.url):
            yield from samples_of(group_members(members_of(file)), shard=shard.name)
        else:
            sampled = storage.SampledReads(file, shard.size)
            yield from samples_of(group_members(members_of(cast("IO[bytes]", sampled))), shard=shard.name)
            on_digest(sampled.digest(shard.url))
    require_unchanged(shard)


def _index_shard(shard: Shard, folder: str) -> tuple[Footer, bool] | NotFoundError | BadInputError:
    """The footer of the shard's table, and whether it was there already."""
    url, footer = table_url(folder, shard), index_footer(shard)
    samples, digests = [], list[str]()
    try:
        if found := finished_footer(url, footer, shard, overwrite=False):
            return found, True
        for sample in read_shard(shard, on_digest=digests.append):
            sample.image, sample.caption = b"", ""
            samples.append(sample)
    except (NotFoundError, BadInputError) as error:
        return error
    return write_table(url, replace(footer, digest="".join(digests) or footer.digest), samples), False
