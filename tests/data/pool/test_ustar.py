"""The fast reading of plain shards against the slow one: it agrees, or it leaves the buffer to the other."""

import io
import random
import sys
import tarfile
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import pytest
import webdataset

from datascaler.data.pool.samples import read_samples
from datascaler.data.pool.tar import walk_tar
from datascaler.data.pool.ustar import ustar_samples
from tests.data.tars import members_of, shard_of, tar_of
from tests.other_threads import ticks_of_other_threads


def without_end(raw: bytes) -> bytes:
    """A piece as a plan cuts it: whole members, no end mark."""
    return raw[: list(walk_tar(io.BytesIO(raw)))[-1].end]


def assert_agrees(raw: bytes) -> None:
    found = ustar_samples(raw)
    assert found is not None
    expected = list(read_samples(io.BytesIO(raw)))
    assert [found.begins[first] for first in found.firsts[:-1]] == [sample.offset for sample in expected]
    assert [end - first for first, end in pairwise(found.firsts)] == [3] * len(expected)
    ends = [start + -(-size // 512) * 512 for start, size in zip(found.contents, found.sizes, strict=True)]
    assert [ends[last - 1] for last in found.firsts[1:]] == [sample.offset + sample.length for sample in expected]
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        assert [name.decode() for name in found.names] == tar.getnames()
        assert found.contents == [member.offset_data for member in tar]
        assert found.begins == [member.offset for member in tar]


@pytest.mark.parametrize("format_", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_plain_shards_are_read_alike(format_: int) -> None:
    names = [f"{folder}{number:012d}" for folder in ("", "a/b.c/") for number in (0, 1, 10, 11)]
    names += ["a.b/x", "a.b/xy", "z"]
    members = [(f"{name}.{suffix}", data) for name in names for suffix, data in members_of(3).items()]
    assert_agrees(without_end(tar_of(members, format_)))


def test_shards_of_random_sizes_are_read_alike() -> None:
    generator = random.Random(0)
    for _ in range(20):
        sizes = [[generator.choice((1, 511, 512, 513, 3000)) for _ in range(3)] for _ in range(generator.randint(1, 9))]
        samples = [
            {suffix: bytes(size) for suffix, size in zip(("jpg", "json", "txt"), each, strict=True)} for each in sizes
        ]
        assert_agrees(without_end(shard_of(samples)))


LOOK = """
import sys, time
from datascaler.data.pool.ustar import ustar_samples

time.sleep(0.5)  # until they have come to rest after the imports
print(other_threads())
assert ustar_samples(open(sys.argv[1], "rb").read()) is not None
time.sleep(0.3)
print(other_threads())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux what its threads do")
def test_headers_are_read_without_waking_other_threads(tmp_path: Path) -> None:
    """A product of float matrices would be given to OpenBLAS, whose threads go on spinning for a tenth of a second."""
    (tmp_path / "whole.tar").write_bytes(without_end(shard_of([members_of(number) for number in range(300)])))
    before, after = ticks_of_other_threads(LOOK, tmp_path / "whole.tar")
    assert before == after


def timed_shard(samples: int, time: float | None = None) -> bytes:
    """As webdataset writes it: PAX, for a time with a fraction, before each member."""
    buffer = io.BytesIO()
    with webdataset.TarWriter(buffer, mtime=time) as writer:
        for number in range(samples):
            writer.write({"__key__": f"{number:09d}", **members_of(number)})
    return without_end(buffer.getvalue())


@pytest.mark.parametrize("time", [None, 0.5, -1.25, 1795887500.570613])
def test_shards_of_webdataset_are_read_alike(time: float | None) -> None:
    raw = timed_shard(5, time)
    assert raw.count(b"@PaxHeader") == 15
    assert_agrees(raw)


def test_an_extension_that_says_more_than_a_time_is_left_to_the_scanner() -> None:
    def extended(**records: str) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for number in range(2):
                for suffix, data in members_of(number).items():
                    info = tarfile.TarInfo(f"{number:09d}.{suffix}")
                    info.size, info.pax_headers = len(data), records
                    tar.addfile(info, io.BytesIO(data))
        return without_end(buffer.getvalue())

    assert ustar_samples(extended(mtime="1.5")) is not None
    for records in ({"path": "other.jpg"}, {"mtime": "1.5", "size": "3"}, {"comment": "a"}, {"mtime": "now"}):
        assert ustar_samples(extended(**records)) is None


def test_damage_anywhere_in_an_extension_is_never_accepted_as_another_shard() -> None:
    plain = timed_shard(2, 1795887500.570613)
    expected = ustar_samples(plain)
    begin = list(read_samples(io.BytesIO(plain)))[1].offset
    for position in [*range(154), *range(156, 512), *range(512, 1024)]:
        for bit in range(8):
            broken = bytearray(plain)
            broken[begin + position] ^= 1 << bit
            # A digit of the time may be another, and what follows the record is of no meaning.
            assert ustar_samples(bytes(broken)) in (None, expected)


def odd_pieces() -> Iterable[tuple[str, bytes]]:
    whole = shard_of(members_of(number) for number in range(4))
    plain = without_end(whole)
    yield "an end mark", whole
    yield "empty", b""
    yield "cut", plain[:-512]
    yield "cut inside a block", plain[:-1]
    yield "no header first", plain[512:]
    for position in (0, 99, 100, 124, 134, 148, 153, 156, 200, 257, 345, 511):
        broken = bytearray(plain)
        broken[position] ^= 0x81
        yield f"byte {position} changed", bytes(broken)
    yield "a member twice", without_end(tar_of([("a.jpg", b"1"), ("a.txt", b"1"), ("a.JPG", b"2")]))
    yield "no dot", without_end(tar_of([("a", b"1"), ("b", b"1")]))
    yield "a dot first", without_end(tar_of([("a.jpg", b"1"), ("._a.jpg", b"1")]))
    yield "a dot first in a folder", without_end(tar_of([("b/a.jpg", b"1"), ("b/._a.jpg", b"1")]))
    yield "a tar in a tar", without_end(tar_of([("a.jpg", tar_of([("b.jpg", b"1")])), ("a.txt", b"1")]))
    yield "long names", without_end(tar_of([(f"{'n' * 120}.jpg", b"1")], tarfile.PAX_FORMAT))
    yield "a long path", without_end(tar_of([(f"{'n' * 60}/{'m' * 60}.jpg", b"1")]))
    yield "many members", without_end(tar_of([(f"a.{suffix:02d}", b"1") for suffix in range(20)]))


@pytest.mark.parametrize("piece", [pytest.param(raw, id=name) for name, raw in odd_pieces()])
def test_anything_else_is_left_to_the_scanner(piece: bytes) -> None:
    assert ustar_samples(piece) is None


def test_damage_anywhere_in_a_header_is_never_accepted() -> None:
    plain = without_end(shard_of(members_of(number) for number in range(2)))
    second = list(read_samples(io.BytesIO(plain)))[1].offset
    # The checksum's last two bytes only end it.
    for position in [*range(154), *range(156, 512)]:
        broken = bytearray(plain)
        broken[second + position] ^= 1
        assert ustar_samples(bytes(broken)) is None
