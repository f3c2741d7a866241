"""Ranges, open files and local copies give the same bytes from every store and by every client."""

import io
import os
import random
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from datascaler import storage
from datascaler.errors import NotFoundError, StorageError
from datascaler.storage import read

CONTENT = random.Random(7).randbytes(100_000)


@pytest.fixture(params=["local", "memory", "s3", "s3 by obstore"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "local":
        yield str(tmp_path)
    elif request.param == "memory":
        yield f"memory://{uuid.uuid4().hex}"
    else:
        storage.use_client("obstore" if "obstore" in request.param else "fsspec")
        yield request.getfixturevalue("s3_url")
        storage.use_client("fsspec")


@pytest.fixture
def url(folder: str) -> str:
    storage.publish_bytes(f"{folder}/object", CONTENT)
    return f"{folder}/object"


def test_ranges_come_in_the_order_asked_for(url: str) -> None:
    generator = random.Random(1)
    starts = [generator.randrange(len(CONTENT)) for _ in range(64)]
    ranges = [(start, start + generator.randrange(3_000)) for start in starts]
    assert storage.read_ranges(url, ranges) == [CONTENT[start:end] for start, end in ranges]
    assert storage.read_ranges(url, []) == []


def test_a_range_beyond_the_end_is_short(url: str) -> None:
    size = len(CONTENT)
    ranges = [(size - 5, size + 5), (size, size + 5), (size + 7, size + 9), (3, 3), (9, 4), (0, 2)]
    assert storage.read_ranges(url, ranges) == [CONTENT[-5:], b"", b"", b"", b"", CONTENT[:2]]
    assert storage.read_bytes(url, size - 5, size + 5) == CONTENT[-5:]
    assert storage.read_bytes(url, size, size + 5) == b""


def test_large_and_small_ranges_of_a_large_file(folder: str) -> None:
    content = random.Random(5).randbytes(5 << 20)
    storage.publish_bytes(f"{folder}/large", content)
    megabyte = 1 << 20
    ranges = [(7, 9), (5, 5 + 2 * megabyte), (100, 200), (3 * megabyte, 9 * megabyte), (9 * megabyte, 11 * megabyte)]
    assert storage.read_ranges(f"{folder}/large", ranges) == [content[start:end] for start, end in ranges]
    assert storage.read_bytes(f"{folder}/large") == content


def test_one_end_may_be_left_open(url: str) -> None:
    assert storage.read_bytes(url) == CONTENT
    assert storage.read_bytes(url, 99_990) == CONTENT[99_990:]
    assert storage.read_bytes(url, None, 10) == CONTENT[:10]


def test_ranges_of_a_missing_file(folder: str) -> None:
    for ranges in ([(0, 10)], [(number, number + 1) for number in range(0, 60, 3)]):
        with pytest.raises(NotFoundError, match=f"{folder}/nothing: not found"):
            storage.read_ranges(f"{folder}/nothing", ranges)
    with pytest.raises(NotFoundError, match=f"{folder}/nothing: not found"):
        storage.open_read(f"{folder}/nothing")


def test_an_open_file_reads_and_seeks_like_any_other(url: str) -> None:
    generator = random.Random(2)
    with storage.open_read(url, block_bytes=1 << 14) as file, io.BytesIO(CONTENT) as same:
        for _ in range(200):
            whence = generator.choice([io.SEEK_SET, io.SEEK_SET, io.SEEK_END])
            offset = generator.randrange(len(CONTENT) + 100) - (len(CONTENT) if whence == io.SEEK_END else 0)
            if whence == io.SEEK_SET or -len(CONTENT) <= offset:
                assert file.seek(offset, whence) == same.seek(offset, whence)
            count = generator.choice([0, 1, 100, 5_000, 40_000])
            assert file.read(count) == same.read(count)
            assert file.tell() == same.tell()
        file.seek(11)
        assert file.read() == CONTENT[11:]
        assert file.read(1) == b""


def test_names_that_need_quoting(folder: str) -> None:
    for name in ("a b.tar", "50%41+.tar", "ü~(1)!*'.tar", "x=1/y&z.tar", "#1.tar"):
        storage.publish_bytes(f"{folder}/{name}", name.encode())
        assert storage.read_ranges(f"{folder}/{name}", [(0, 3)]) == [name.encode()[:3]]
        with storage.open_read(f"{folder}/{name}") as file:
            assert file.read() == name.encode()


def test_a_copy_of_many_parts(folder: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "_PART_BYTES", 3_000)
    with storage.local_copy(url) as path:
        assert path.read_bytes() == CONTENT
    storage.publish_bytes(f"{folder}/empty", b"")
    with storage.local_copy(f"{folder}/empty") as path:
        assert path.read_bytes() == b""


def test_a_local_file_whose_system_reads_in_small_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No system promises to give all of a read at once; Linux stops at 2 GiB."""
    url, pread, preadv = str(tmp_path / "file"), os.pread, os.preadv
    storage.publish_bytes(url, CONTENT)
    monkeypatch.setattr(os, "pread", lambda file, size, at: pread(file, min(size, 999), at))
    monkeypatch.setattr(os, "preadv", lambda file, into, at: preadv(file, [into[0][:777]], at))
    assert storage.read_ranges(url, [(5, 60_000), (99_000, 200_000)]) == [CONTENT[5:60_000], CONTENT[99_000:]]
    buffer = memoryview(bytearray(70_000))
    assert storage.read_local_into(url, 50_000, buffer) == 50_000
    assert buffer[:50_000] == CONTENT[50_000:]


def test_a_file_that_is_replaced_while_it_is_open(s3_url: str, client: str) -> None:
    assert client
    url = f"{s3_url}/object"
    storage.publish_bytes(url, CONTENT)
    with storage.open_read(url, block_bytes=1_000) as file:
        assert file.read(10) == CONTENT[:10]
        storage.publish_bytes(url, CONTENT[::-1])
        with pytest.raises(StorageError, match=f"{url}: changed while it was being read"):
            file.read(5_000)


def test_a_file_that_is_replaced_while_it_is_copied(s3_url: str, client: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert client
    url = f"{s3_url}/object"
    storage.publish_bytes(url, CONTENT)
    download = read._download

    def download_and_replace(url: str, size: int, target: Path) -> None:
        download(url, size, target)
        storage.publish_bytes(url, CONTENT[::-1])

    monkeypatch.setattr(read, "_download", download_and_replace)
    with (
        pytest.raises(StorageError, match=f"{url}: changed while it was being read"),
        storage.local_copy(url),
    ):
        pass
