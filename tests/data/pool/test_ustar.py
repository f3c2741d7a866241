"""The fast reading of plain shards against the slow one: it agrees, or it leaves the buffer to the other."""

import io
import random
import tarfile
from collections.abc import Iterable
from itertools import pairwise

import pytest

from datascaler.data.pool.samples import read_samples
from datascaler.data.pool.ustar import ustar_samples
from tests.data.tars import members_of, shard_of, tar_of


def without_end(raw: bytes) -> bytes:
    """A piece as a plan cuts it: whole members, no end mark."""
    samples = list(read_samples(io.BytesIO(raw)))
    return raw[: samples[-1].offset + samples[-1].length]


def assert_agrees(raw: bytes) -> None:
    found = ustar_samples(raw)
    assert found is not None
    expected = list(read_samples(io.BytesIO(raw)))
    assert [found.offsets[first] for first in found.firsts[:-1]] == [sample.offset for sample in expected]
    assert [end - first for first, end in pairwise(found.firsts)] == [3] * len(expected)
    blocks = [512 + -(-size // 512) * 512 for size in found.sizes]
    lengths = [sum(blocks[first:end]) for first, end in pairwise(found.firsts)]
    assert lengths == [sample.length for sample in expected]
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        assert [name.decode() for name in found.names] == tar.getnames()


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
