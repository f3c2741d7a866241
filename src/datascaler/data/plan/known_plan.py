"""The plan of a subset that somebody asks about: one that is there, or one compiled from what is known of the pool."""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from datascaler import storage
from datascaler.data.plan.compile_plan import compile_plan
from datascaler.data.plan.plan import Plan, is_of_pool, match_shards
from datascaler.data.plan.plan_file import open_plan
from datascaler.data.plan.shard_rows import (
    are_of_pool,
    has_all_logs,
    has_all_tables,
    known_index,
    rows_of_log,
    rows_of_table,
)
from datascaler.data.pool.shard_list import read_frozen_shards
from datascaler.data.pool.shards import Shard, find_shards, pool_digest
from datascaler.data.subset.subset import base_of, read_recipe, subset_digest
from datascaler.data.tables.score_table import score_folders
from datascaler.errors import ConfigError, UnusableLogError


def given_plan(plan_url: str, subset_url: str, uids: NDArray[np.void], shards: list[Shard] | None) -> Plan:
    """A plan that was named. Raises ConfigError where it is of another subset or, where shards are given, pool."""
    plan = open_plan(plan_url)
    if shards is not None:
        match_shards(plan, shards)
    if plan.subset_digest != subset_digest(uids):
        raise ConfigError(f"the plan {plan_url} was made for another subset than {subset_url}")
    return plan


def url_beside(subset_url: str) -> str:
    return base_of(subset_url) + ".plan"


def plan_beside(subset_url: str, uids: NDArray[np.void], shards: list[Shard]) -> Plan | None:
    """The plan beside a subset, if it was made for just these uids and shards by this version."""
    url = url_beside(subset_url)
    try:
        plan = open_plan(url) if storage.exists(url) else None
    except ConfigError:
        return None
    fits = plan and plan.subset_digest == subset_digest(uids) and is_of_pool(plan, shards)
    return plan if fits else None


def known_plan(
    subset_url: str, uids: NDArray[np.void], shards: list[Shard], *, output_dir: str | None = None
) -> Plan | None:
    """The plan beside the subset, else one from the recipe's score tables, from any scores or index of this pool in
    `output_dir`, or from the logs beside the shards; None where nothing is known. Nothing is written.
    """
    plan = plan_beside(subset_url, uids, shards)
    if plan:
        return plan
    for folder in _table_folders(subset_url, shards, output_dir):
        if has_all_tables(folder, shards):
            return compile_plan(shards, partial(rows_of_table, folder), uids)[0]
    if has_all_logs(shards):
        try:
            return compile_plan(shards, rows_of_log, uids)[0]
        except UnusableLogError:
            return None
    return None


def tables_of_recipe(subset_url: str, shards: list[Shard]) -> str | None:
    """The score tables that a subset was chosen by, if they are of this pool."""
    recipe = read_recipe(subset_url) or {}
    tables: str | None = recipe.get("tables")
    is_this = tables and (recipe.get("pool_digest") == pool_digest(shards) or are_of_pool(tables, shards))
    return tables if is_this else None


def _table_folders(subset_url: str, shards: list[Shard], output_dir: str | None) -> list[str]:
    folders = [tables] if (tables := tables_of_recipe(subset_url, shards)) else []
    if output_dir:
        folders += score_folders(output_dir)
        folders.append(known_index(output_dir, shards))
    return folders


def coverage_plan(
    subset_url: str,
    uids: NDArray[np.void],
    *,
    output_dir: str | None = None,
    data_dir: str | None = None,
    plan_url: str | None = None,
) -> Plan:
    """One of the three says which pool it is. Raises ConfigError where nothing is known about that pool's samples."""
    if plan_url:
        return given_plan(plan_url, subset_url, uids, shards=None)
    shards = read_frozen_shards(output_dir) if output_dir else find_shards(str(data_dir))
    plan = known_plan(subset_url, uids, shards, output_dir=output_dir)
    if plan is None:
        where = f"--data-dir {data_dir} --output-dir OUT" if data_dir else f"--output-dir {output_dir}"
        raise ConfigError(
            f"nothing is known yet of the samples in {data_dir or output_dir}: run `datascaler pool index` or "
            f"`datascaler score` ({where}) and give that --output-dir"
        )
    return plan
