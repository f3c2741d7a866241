"""Rows that are read alone, by places that were found, against the same rows read with their block."""

import json
import os
import random
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from datascaler.data.plan.plan import Plan, match_shards
from datascaler.data.pool.samples import OK, Sample
from datascaler.data.pool.shards import Shard, find_shards
from datascaler.data.read.kept_samples import Piece, kept_samples
from datascaler.data.read.local_block import FasterWay
from datascaler.data.read.places import Places
from datascaler.data.read.read_block import BlockReader
from tests.data.damaged_pools import damaged_pool
from tests.data.planned_pools import overwrite_unseen
from tests.data.random_pools import random_pool
from tests.data.read.alone import WHOLE, let_rot, planned, read_alone
from tests.data.tars import tar_of

SAMPLE_BYTES = 8 * 512
"""Of `write_equal_samples`: so a flipped bit leads from one sample to another."""


@pytest.fixture(autouse=True)
def _alone_where_it_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_alone(tmp_path, monkeypatch)


def read_all(plan: Plan, shards: list[Shard], places: Places | None = None) -> list[list[Sample]]:
    """By block, in two parts."""
    reader = BlockReader(plan, match_shards(plan, shards), places=places)
    kept = enumerate(plan.arrays["block_kept"].tolist())
    # As two streams read a block that lies on the border between them.
    parts = ((number, part) for number, count in kept for part in ((0, count // 3), (count // 3, count)))
    return [reader.samples(number, first, last) for number, (first, last) in parts if first < last]


def write_equal_samples(path: Path, count: int) -> Shard:
    """A shard of samples that differ in what they say and not in their length."""
    members = [
        (f"{number:09d}.{suffix}", content)
        for number in range(count)
        for suffix, content in (
            ("jpg", bytes([number]) * 1400),
            ("json", json.dumps({"uid": f"{number:032x}"}).encode()),
            ("txt", f"{number:04d}".encode()),
        )
    ]
    path.parent.mkdir()
    path.write_bytes(tar_of(members))
    (shard,) = find_shards(str(path.parent))
    return shard


def known(plan: Plan, places: Places) -> int:
    """Blocks whose places are known."""
    found = 0
    for number in np.flatnonzero(plan.arrays["block_kept"]).tolist():
        block = plan.block(number)
        kept = len(np.unique(plan.kept_rows(block.shard, block.first_row, block.end_row - block.first_row)))
        found += places.get(number, block, 0, kept) is not None
    return found


@pytest.mark.parametrize("seed", range(6))
def test_rows_alone_are_those_of_their_block(tmp_path: Path, seed: int) -> None:
    """Of odd tars: long names, directories, members in any order, no txt, a png."""
    pool = random_pool(tmp_path / "pool", seed)
    plan = planned(tmp_path, pool.shards, sorted({uid for rows in pool.rows for uid in rows if uid})[::2])
    expected = read_all(plan, pool.shards)
    places = Places.of(plan, tmp_path / "x.plan", pool.shards)
    assert known(plan, places) == 0
    assert read_all(plan, pool.shards, places) == expected
    again = Places.of(plan, tmp_path / "x.plan", pool.shards)  # as another process has it
    assert known(plan, again) > 0
    assert read_all(plan, pool.shards, again) == expected
    places.close()
    again.close()


@pytest.mark.parametrize("seed", range(4))
def test_of_damaged_shards_the_same_is_read(tmp_path: Path, seed: int) -> None:
    pool = damaged_pool(tmp_path / "pool", seed, 16)
    plan = planned(tmp_path, pool.shards, pool.subset(random.Random(seed), 0.6))
    expected = read_all(plan, pool.shards)
    places = Places.of(plan, tmp_path / "x.plan", pool.shards)
    for _ in range(2):
        assert read_all(plan, pool.shards, places) == expected
    places.close()


def test_what_rots_later_is_lost_alone_and_never_another_sample(tmp_path: Path) -> None:
    pool = damaged_pool(tmp_path / "pool", 1, 16, kinds=["sound"])
    plan = planned(tmp_path, pool.shards, pool.subset(random.Random(1), 0.6))
    places = Places.of(plan, tmp_path / "x.plan", pool.shards)
    before = read_all(plan, pool.shards, places)
    let_rot(pool.shards)
    lost = 0
    after = chain.from_iterable(read_all(plan, pool.shards, places))
    for was, now in zip(chain.from_iterable(before), after, strict=True):
        lost += now.status != OK
        assert now.status != OK or (now.row, now.key, now.offset) == (was.row, was.key, was.offset)
    assert lost > 0
    places.close()


def folder_of(places: Path) -> Path:
    return places / f"datascaler-{os.getuid()}"


@pytest.mark.parametrize("content", ["wrong", "short"])
def test_a_file_that_is_wrong_does_no_harm(tmp_path: Path, content: str) -> None:
    pool = random_pool(tmp_path / "pool", 2)
    plan = planned(tmp_path, pool.shards, sorted({uid for rows in pool.rows for uid in rows if uid})[::2])
    expected = read_all(plan, pool.shards)
    places = Places.of(plan, tmp_path / "x.plan", pool.shards)
    read_all(plan, pool.shards, places)
    places.close()
    (file,) = folder_of(tmp_path).iterdir()
    size = file.stat().st_size
    file.write_bytes(random.Random(0).randbytes(size) if content == "wrong" else file.read_bytes()[: size // 2])
    places = Places.of(plan, tmp_path / "x.plan", pool.shards)
    for _ in range(2):
        assert read_all(plan, pool.shards, places) == expected
    places.close()


def test_no_bit_of_the_file_can_give_another_sample(tmp_path: Path) -> None:
    """In a pool whose samples are all of one length, so that every start of one fits every other."""
    shards = [write_equal_samples(tmp_path / "pool" / "00000000.tar", 24)]
    plan = planned(tmp_path, shards, [f"{number:032x}" for number in range(0, 24, 2)])
    expected = read_all(plan, shards)
    places = Places.of(plan, tmp_path / "x.plan", shards)
    read_all(plan, shards, places)
    places.close()
    (file,) = folder_of(tmp_path).iterdir()
    sound = file.read_bytes()
    for bit in range(8 * len(sound)):
        content = bytearray(sound)
        content[bit // 8] ^= 1 << bit % 8
        file.write_bytes(content)
        places = Places.of(plan, tmp_path / "x.plan", shards)
        assert read_all(plan, shards, places) == expected, bit
        places.close()


def test_time_decides_no_sample_of_a_block_that_rots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A header rots of a row that nobody wants: alone its neighbours are found, and whole the block ends there."""
    shard = write_equal_samples(tmp_path / "pool" / "00000000.tar", 24)
    plan = planned(tmp_path, [shard], [f"{number:032x}" for number in range(0, 24, 2)])
    places = Places.of(plan, tmp_path / "x.plan", [shard])
    before = read_all(plan, [shard], places)
    content = bytearray(Path(shard.url).read_bytes())
    content[SAMPLE_BYTES + 148] ^= 1  # in the checksum of the second sample's first header
    overwrite_unseen(Path(shard.url), bytes(content))
    assert read_all(plan, [shard], places) == before
    monkeypatch.setattr(FasterWay, "next", lambda *_: WHOLE)
    assert read_all(plan, [shard], places) == before
    places.close()


def test_another_plan_of_the_pool_has_a_file_of_its_own(tmp_path: Path) -> None:
    pool = random_pool(tmp_path / "pool", 2)
    uids = sorted({uid for rows in pool.rows for uid in rows if uid})
    for half in (0, 1):
        plan = planned(tmp_path, pool.shards, uids[half::2])
        places = Places.of(plan, tmp_path / "x.plan", pool.shards)
        assert known(plan, places) == 0
        read_all(plan, pool.shards, places)
        assert known(plan, places) > 0
        places.close()


@pytest.mark.parametrize("is_folder", [False, True])
def test_where_nothing_can_be_kept_or_others_can_write_blocks_are_read_whole(tmp_path: Path, is_folder: bool) -> None:
    pool = random_pool(tmp_path / "pool", 2)
    plan = planned(tmp_path, pool.shards, sorted({uid for rows in pool.rows for uid in rows if uid})[::2])
    expected = read_all(plan, pool.shards)
    folder = folder_of(tmp_path)
    if is_folder:
        folder.mkdir()
        folder.chmod(0o777)
    else:
        folder.write_text("no folder")
    places = Places.of(plan, tmp_path / "x.plan", pool.shards)
    for _ in range(2):
        assert read_all(plan, pool.shards, places) == expected
    assert known(plan, places) == 0
    places.close()


def test_a_pool_of_the_usual_form_is_read_without_another_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = damaged_pool(tmp_path / "pool", 3, 4, kinds=["sound"], formats=[0])
    plan = planned(tmp_path, pool.shards, pool.subset(random.Random(1), 0.6))
    places = Places.of(plan, tmp_path / "x.plan", pool.shards)
    expected = read_all(plan, pool.shards, places)
    looked: list[int] = []

    def noting(content: bytes | memoryview, piece: Piece, rows: Sequence[int]) -> tuple[dict[int, Sample], str]:
        looked.extend(rows)
        return kept_samples(content, piece, rows)

    monkeypatch.setattr("datascaler.data.read.rows_alone.kept_samples", noting)
    assert read_all(plan, pool.shards, places) == expected
    # Those without a txt, whose json is asked, and images that are no jpg.
    assert len(looked) < sum(map(len, expected))
    places.close()
