"""A plan for a pool and a subset that have none yet, by whatever is cheapest of what is known about the pool."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from datascaler import storage
from datascaler.data.plan.compile_plan import Coverage, build_plan, compile_plan
from datascaler.data.plan.plan import Plan, is_of_pool
from datascaler.data.plan.plan_file import open_plan, write_plan
from datascaler.data.plan.shard_rows import has_all_logs, has_all_tables, known_index, rows_of_log
from datascaler.data.pool.shards import Shard, pool_digest
from datascaler.data.subset.subset import subset_digest
from datascaler.data.tables.index_tables import index_pool
from datascaler.errors import ConfigError, UnusableLogError

_LOGS = (
    "the parquet files beside the shards, which do not say where samples lie: shards are read whole "
    "(`datascaler pool index` lets them be read in pieces)"
)


def cached_plan(
    output_dir: str,
    shards: list[Shard],
    uids: NDArray[np.void] | None,
    *,
    tables: str | None = None,
    num_workers: int = 4,
    say: Callable[[str], None] = lambda _: None,
) -> str:
    """The URL of the plan of (shards, uids) in `output_dir/plans/`, made now unless one of this pool or a copy is.

    `uids` is `u8,u8`, ascending, repeats allowed; None keeps everything. `tables` is a folder of score tables of this
    pool, if one is known. `num_workers` shards are read at a time where the pool must be indexed. `say` is told what
    the plan was made from.
    """
    digest = subset_digest(uids) if uids is not None else "all"
    folder = storage.join(output_dir, "plans")
    url = storage.join(folder, f"{pool_digest(shards)}-{digest}.plan")
    if _plan_at(url):
        return url
    for info in storage.list_files(folder, f"-{digest}.plan"):
        plan = _plan_at(info.url)
        if plan and is_of_pool(plan, shards):
            return info.url
    storage.check_writable(output_dir)
    (plan, _), source = _made(output_dir, shards, uids, tables, num_workers, say)
    write_plan(url, plan)
    say(f"plan      made from {source}")
    return url


def _made(
    output_dir: str,
    shards: list[Shard],
    uids: NDArray[np.void] | None,
    tables: str | None,
    num_workers: int,
    say: Callable[[str], None],
) -> tuple[tuple[Plan, Coverage], str]:
    """The plan, and the words for what it was made from."""
    if tables and has_all_tables(tables, shards):
        return build_plan(shards, tables, uids), f"the score tables in {tables}"
    index = known_index(output_dir, shards)
    if not has_all_tables(index, shards):
        if has_all_logs(shards):
            try:
                return compile_plan(shards, rows_of_log, uids), _LOGS
            except UnusableLogError as error:
                say(f"plan      {error}; the shards themselves are read")
        index_pool(shards, index, num_workers)
    return build_plan(shards, index, uids), f"the index tables in {index}"


def _plan_at(url: str) -> Plan | None:
    """The plan of this version that is there, if any; one of an older version is made anew."""
    try:
        return open_plan(url) if storage.exists(url) else None
    except ConfigError:
        return None
