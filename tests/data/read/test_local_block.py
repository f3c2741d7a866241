"""Rows read alone are those of their block, and of two ways to read the faster one is used."""

import io
import json
from pathlib import Path

import pytest
import webdataset

from datascaler.data.pool.samples import OK, read_samples
from datascaler.data.read import rows_alone as rows_alone_module
from datascaler.data.read.local_block import FasterWay
from datascaler.data.read.rows_alone import rows_alone

WHOLE, ALONE = range(2)
SIZE = 4 << 20


def used(ways: FasterWay, seconds: tuple[float, float], blocks: int) -> list[int]:
    """The ways of so many blocks, of which each takes (whole, alone) seconds."""
    found = []
    for _ in range(blocks):
        way = ways.next(SIZE)
        ways.took(way, SIZE, seconds[way])
        found.append(way)
    return found


def test_each_way_is_tried_once_to_begin_with() -> None:
    assert used(FasterWay(), (0.001, 0.001), 2) == [WHOLE, ALONE]


@pytest.mark.parametrize(
    ("seconds", "faster"), [((0.002, 0.001), ALONE), ((0.001, 0.1), WHOLE), ((0.002, 0.003), ALONE)]
)
def test_the_faster_way_is_used_and_the_other_one_costs_a_twentieth(seconds: tuple[float, float], faster: int) -> None:
    ways = used(FasterWay(), seconds, 5_000)[2:]
    slower = 1 - faster
    assert 0 < ways.count(slower) * seconds[slower] <= 0.051 * ways.count(faster) * seconds[faster]


def test_files_that_come_into_the_cache_change_the_way() -> None:
    ways = FasterWay()
    assert used(ways, (0.01, 0.1), 50)[2:].count(WHOLE) == 48
    later = used(ways, (0.001, 0.0005), 3_000)
    assert later[-100:].count(ALONE) > 95


def test_one_slow_time_changes_nothing() -> None:
    ways = FasterWay()
    used(ways, (0.002, 0.001), 20)
    ways.took(ALONE, SIZE, 1.0)
    assert used(ways, (0.002, 0.001), 20).count(WHOLE) == 1


def timed_shard(path: Path) -> bytes:
    """As webdataset writes it, with an extension before each member; images of many sizes."""
    with webdataset.TarWriter(str(path)) as writer:
        for number in range(12):
            record = {"uid": f"{number:032x}", "more": "x" * 97 * number}
            image, caption = bytes([number]) * (number * 517 + 1), f"caption {number} " * (number + 1)
            writer.write({"__key__": f"{number:09d}", "jpg": image, "json": json.dumps(record), "txt": caption})
    return path.read_bytes()


def test_rows_of_webdatasets_shards_are_read_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = timed_shard(tmp_path / "0.tar")
    expected = list(read_samples(io.BytesIO(content)))
    assert content.count(b"@PaxHeader") == 3 * len(expected)
    monkeypatch.delattr(rows_alone_module, "kept_samples")  # which is slower, and not needed
    ranges = [(sample.offset, sample.offset + sample.length) for sample in expected]
    found, fault = rows_alone(str(tmp_path / "0.tar"), ranges, range(len(expected)))
    assert fault == ""
    for row, sample in enumerate(expected):
        read = found[row]
        assert (read.key, read.offset, read.length) == (sample.key, sample.offset, sample.length)
        assert (read.image, read.caption) == (sample.image, sample.caption)


def test_a_bit_that_flips_in_a_header_gives_no_other_sample(tmp_path: Path) -> None:
    content = timed_shard(tmp_path / "0.tar")
    expected = list(read_samples(io.BytesIO(content)))[3]
    ranges = [(expected.offset, expected.offset + expected.length)]
    for at in (*range(154), *range(156, 512), *range(512, 545), *range(1024, 1178), *range(1180, 1536)):
        broken = bytearray(content)
        broken[expected.offset + at] ^= 1 << at % 8
        (tmp_path / "0.tar").write_bytes(broken)
        found, fault = rows_alone(str(tmp_path / "0.tar"), ranges, [3])
        if fault:
            assert found == {}
        else:  # a digit of the time is another one, or a zero of a checksum a blank
            assert at == 148 or at >= 512
            assert (found[3].status, found[3].key, found[3].image) == (OK, expected.key, expected.image)
