"""Plans in small blocks whose rows are read alone wherever they can be, and shards that rot."""

import random
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from datascaler.data.plan import compile_plan as build_plan_module
from datascaler.data.plan.compile_plan import compile_plan
from datascaler.data.plan.plan import Plan
from datascaler.data.plan.plan_file import map_plan, write_plan
from datascaler.data.plan.shard_rows import rows_of_table
from datascaler.data.pool.shards import Shard
from datascaler.data.read import read_block as read_block_module
from datascaler.data.read.local_block import FasterWay
from datascaler.data.tables.index_tables import index_pool
from tests.data.planned_pools import overwrite_unseen
from tests.data.random_pools import sorted_pairs

WHOLE, ALONE = range(2)


def read_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However small the rows are and however long it takes; what is found is kept in the folder."""
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setattr(build_plan_module, "PLAN_BLOCK_BYTES", 15_000)
    monkeypatch.setattr(read_block_module, "LOCAL_REQUEST_BYTES", 0)
    monkeypatch.setattr(FasterWay, "next", lambda *_: ALONE)


def planned(folder: Path, shards: list[Shard], uids: list[str]) -> Plan:
    """The plan of a subset, at x.plan in the folder."""
    index_pool(shards, f"{folder}/index")
    plan, _ = compile_plan(shards, partial(rows_of_table, f"{folder}/index"), sorted_pairs(uids))
    write_plan(f"{folder}/x.plan", plan)
    return map_plan(folder / "x.plan")


def let_rot(shards: Sequence[Shard]) -> None:
    """Flip a bit in sixty bytes of each local shard, so that size and time stay."""
    for number, shard in enumerate(shards):
        content = bytearray(Path(shard.url).read_bytes())
        for at in random.Random(number).sample(range(len(content)), 60):
            content[at] ^= 1
        overwrite_unseen(Path(shard.url), bytes(content))
