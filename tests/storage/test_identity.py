"""What says that a file is the same one: kept by a copy, changed by other content."""

import os
import random
import shutil
from pathlib import Path

import pytest

from datascaler import storage

LARGE = random.Random(3).randbytes(1 << 20)


def put(folder: Path, content: bytes) -> str:
    (folder / "file").write_bytes(content)
    return str(folder / "file")


@pytest.mark.parametrize("size", [0, 1, 100, 112 << 10, (112 << 10) + 1, 200_000, 1 << 20])
def test_a_copy_is_the_same_and_a_touch_changes_nothing(tmp_path: Path, size: int) -> None:
    url = put(tmp_path, LARGE[:size])
    before = storage.identify(url)
    (tmp_path / "copy").mkdir()
    shutil.copyfile(url, tmp_path / "copy/file")
    os.utime(url, (1, 1))
    copied = storage.identify(str(tmp_path / "copy/file"))
    assert (copied.size, copied.etag) == (before.size, before.etag)
    assert storage.identify(url).etag == before.etag
    assert storage.identify_all(storage.list_files(str(tmp_path), "file")) == [storage.identify(url)]


@pytest.mark.parametrize("size", [1, 600, 112 << 10])
def test_every_byte_of_a_small_file_counts(tmp_path: Path, size: int) -> None:
    before = storage.identify(put(tmp_path, LARGE[:size])).etag
    for at in {0, size // 3, size - 1}:
        changed = bytearray(LARGE[:size])
        changed[at] ^= 1
        assert storage.identify(put(tmp_path, bytes(changed))).etag != before


def test_a_large_file_of_other_content_is_another(tmp_path: Path) -> None:
    """Of the same length: its samples shifted by a block, one in ten of its blocks anew, the captions alone anew."""
    before = storage.identify(put(tmp_path, LARGE)).etag
    shifted = LARGE[:512] + LARGE[1024:] + LARGE[512:1024]
    generator = random.Random(8)
    tenth, captions = bytearray(LARGE), bytearray(LARGE)
    for at in range(0, len(LARGE), 512):
        if generator.random() < 0.1:
            tenth[at : at + 512] = generator.randbytes(512)
    for at in range(20_000, len(LARGE), 30_000):
        captions[at : at + 512] = generator.randbytes(512)
    etags = {storage.identify(put(tmp_path, bytes(content))).etag for content in (shifted, tenth, captions)}
    assert len(etags) == 3
    assert before not in etags


def test_an_object_has_its_stores_etag(s3_url: str) -> None:
    storage.publish_bytes(f"{s3_url}/file", b"content")
    assert storage.identify(f"{s3_url}/file") == storage.stat(f"{s3_url}/file")
    assert storage.identify_all(storage.list_files(s3_url)) == storage.list_files(s3_url)
