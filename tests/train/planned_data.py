"""A small pool with a plan file, for tests of what iterates it. Sample n has the caption "caption n"."""

from collections import Counter
from pathlib import Path

import pytest

from datascaler import storage
from datascaler.data.plan import compile_plan as build_plan_module
from datascaler.data.plan.plan_file import write_plan
from tests.data.planned_pools import planned, uid_of_number
from tests.data.tars import members_of, shard_of

SAMPLES, PER_SHARD = 60, 15
BROKEN = (13, 31)
WANTED = Counter([*(number for number in range(SAMPLES) if number % 4), 5, 5, 22, 41, 41])
"""What an epoch holds, as often."""
BLOCK_BYTES = 8_000
"""A few samples: so many blocks, and several streams."""


def planned_pool(folder: str, *, broken: bool = False) -> tuple[str, str]:
    """The URLs of the plan and of the pool."""
    for first in range(0, SAMPLES, PER_SHARD):
        rows = [
            members_of(number) | ({"png": b"no image"} if broken and number in BROKEN else {})
            for number in range(first, first + PER_SHARD)
        ]
        storage.publish_bytes(f"{folder}/pool/{first // PER_SHARD}.tar", shard_of(rows))
    uids = [uid_of_number(number) for number in WANTED.elements()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build_plan_module, "PLAN_BLOCK_BYTES", BLOCK_BYTES)
        plan = planned(f"{folder}/pool", uids, f"{folder}/index").plan
    write_plan(f"{folder}/wanted.plan", plan)
    return f"{folder}/wanted.plan", f"{folder}/pool"


def local_pool(folder: Path, *, broken: bool = False) -> tuple[str, str]:
    return planned_pool(str(folder), broken=broken)


def caption_counts(counts: Counter[int]) -> Counter[str]:
    return Counter({f"caption {number}": times for number, times in counts.items()})
