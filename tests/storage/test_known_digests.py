"""Digests that a node keeps: they spare reading, and are never those of other content."""

import json
import os
import tempfile
from pathlib import Path

import pytest

from datascaler import storage
from datascaler.storage import identity, known_digests


@pytest.fixture(autouse=True)
def _own_node_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "node").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", f"{tmp_path}/node")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of three files that count as changed long ago."""
    monkeypatch.setattr(known_digests, "_SETTLED_NS", 0)
    pool = tmp_path / "pool"
    pool.mkdir()
    for number in range(3):
        (pool / f"{number}.tar").write_bytes(bytes([number]) * 200_000)
    return pool


def etags(folder: Path) -> list[str]:
    return [info.etag for info in storage.identify_all(storage.list_files(str(folder)))]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files whose content is looked at."""
    names: list[str] = []
    digest = identity.content_digest

    def noting(url: str, size: int) -> str:
        names.append(Path(url).name)
        return digest(url, size)

    monkeypatch.setattr(identity, "content_digest", noting)
    return names


def kept(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "node").glob("*/digests-*"))


def test_a_second_look_reads_nothing_and_says_the_same(folder: Path, read: list[str]) -> None:
    first = etags(folder)
    assert sorted(read) == ["0.tar", "1.tar", "2.tar"]
    read.clear()
    assert etags(folder) == first
    assert read == []
    assert [storage.identify(f"{folder}/{number}.tar").etag for number in range(3)] == first


@pytest.mark.parametrize("way", ["written in place", "replaced", "renamed onto it"])
def test_a_file_that_changed_is_read_again_though_size_and_time_are_as_before(
    folder: Path, read: list[str], way: str
) -> None:
    first = etags(folder)
    path = folder / "1.tar"
    before = path.stat()
    if way == "written in place":
        with path.open("r+b") as file:
            file.seek(5)
            file.write(b"x")
    elif way == "replaced":
        content = bytearray(path.read_bytes())
        content[5] ^= 1
        path.unlink()
        path.write_bytes(content)
    else:
        (folder / "2.tar").rename(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    read.clear()
    changed = etags(folder)
    assert read == ["1.tar"]
    assert changed[0] == first[0]
    assert changed[1] == (first[2] if way == "renamed onto it" else changed[1]) != first[1]


def test_what_was_changed_a_moment_ago_is_not_kept(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within one tick of the clock it may be changed again."""
    monkeypatch.undo()
    monkeypatch.setattr(tempfile, "tempdir", f"{tmp_path}/node")
    etags(folder)
    assert kept(tmp_path) == []


def test_files_that_are_gone_or_new_are_forgotten_and_learnt(folder: Path, tmp_path: Path, read: list[str]) -> None:
    etags(folder)
    (folder / "0.tar").unlink()
    (folder / "3.tar").write_bytes(b"new")
    read.clear()
    etags(folder)
    assert read == ["3.tar"]
    (file,) = kept(tmp_path)
    assert sorted(Path(url).name for url in json.loads(file.read_text())) == ["1.tar", "2.tar", "3.tar"]


@pytest.mark.parametrize("content", ["", "[]", '{"x": 3}', "[1, 2]", "{"])
def test_a_file_of_digests_that_is_wrong_does_no_harm(
    folder: Path, tmp_path: Path, read: list[str], content: str
) -> None:
    first = etags(folder)
    (file,) = kept(tmp_path)
    file.write_text(content)
    read.clear()
    assert etags(folder) == first
    assert len(read) == 3


def test_where_others_can_write_nothing_is_believed_or_kept(folder: Path, tmp_path: Path, read: list[str]) -> None:
    node = tmp_path / "node" / f"datascaler-{os.getuid()}"
    node.mkdir()
    node.chmod(0o777)
    first = etags(folder)
    assert etags(folder) == first
    assert len(read) == 6
    assert kept(tmp_path) == []
