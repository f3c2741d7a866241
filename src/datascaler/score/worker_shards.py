"""A worker's part of a pool, shard by shard: for methods whose tables are made one after another."""

import time
from collections.abc import Callable, Sequence

import pyarrow as pa

from datascaler import storage
from datascaler.data.pool.shard_list import Find, frozen_shards, verified_shards
from datascaler.data.pool.shards import Shard, find_shards
from datascaler.data.tables.datacomp_metadata import find_metadata
from datascaler.data.tables.score_table import (
    Footer,
    count_table,
    finished_footer,
    name_bad_rows,
    publish_table,
    table_url,
    tables_folder,
)
from datascaler.errors import BadInputError, NotFoundError
from datascaler.progress import progress
from datascaler.score.score_summary import ScoreSummary
from datascaler.spec.score import ScorePart
from datascaler.tools.ordered_map import in_order

_EXAMPLES = 5


def my_shards(part: ScorePart) -> list[Shard]:
    """This worker's shards of the frozen list, which the first worker makes."""
    storage.check_writable(part.output_dir)
    mine = all_shards(part)[part.index :: part.count]
    return verified_shards(part.output_dir, mine, *_pool(part))


def all_shards(part: ScorePart) -> list[Shard]:
    """The frozen list, as its shards are called in the pool that this worker reads."""
    return frozen_shards(part.output_dir, *_pool(part))


def _pool(part: ScorePart) -> tuple[str, Find]:
    return (part.from_metadata, find_metadata) if part.from_metadata else (part.data_dir, find_shards)


def score_shards(
    part: ScorePart,
    shards: Sequence[Shard],
    score_id: str,
    footer_of: Callable[[Shard], Footer],
    table_of: Callable[[Shard], pa.Table],
) -> ScoreSummary:
    """Publish the table of every shard that has none yet, `shards_at_once` of them at a time.

    Raises BadInputError, after all other shards are done, if some are gone or damaged, or have a damaged table; its
    `finished` is the summary.
    """
    summary = ScoreSummary(score_id, tables_folder(part.output_dir, score_id))

    def table(shard: Shard) -> tuple[Footer, bool] | NotFoundError | BadInputError:
        """The footer of the shard's table, and whether it was there already."""
        url, footer = table_url(summary.tables, shard), footer_of(shard)
        started = time.monotonic()
        try:
            if found := finished_footer(url, footer, shard, overwrite=part.overwrite):
                return found, True
            made = table_of(shard)
            footer = footer.after(time.monotonic() - started)
            return publish_table(url, footer, made, overwrite=part.overwrite), False
        except (NotFoundError, BadInputError) as error:
            return error

    with progress(len(shards), part.method, unit="shard") as bar:
        for shard, done in zip(shards, in_order(table, shards, part.shards_at_once), strict=True):
            if isinstance(done, NotFoundError | BadInputError):
                summary.unreadable.append(f"{shard.url}: {done}")
            else:
                footer, was_there = done
                count_table(summary, footer)
                summary.skipped += was_there
            bar.update()
    finish_summary(summary, len(shards))
    return summary


def finish_summary(summary: ScoreSummary, shards: int) -> None:
    """Name an example of each kind of bad row. Raises BadInputError where shards are gone or damaged."""
    name_bad_rows(summary, summary.tables)
    if summary.unreadable:
        raise BadInputError(
            f"{len(summary.unreadable)} of {shards} shards are gone or damaged, the others are scored: "
            + "; ".join(summary.unreadable[:_EXAMPLES])
        ).after(summary)
