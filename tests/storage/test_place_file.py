"""Publishing where a file system lacks links, renaming, renaming over files, times or locks: whole, and once."""

import builtins
import errno
import fcntl
import io
import os
import random
import shutil
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from datascaler import storage
from datascaler.data.read.cache import BlockCache
from datascaler.data.tables.index_tables import index_part
from datascaler.errors import ConfigError, StorageError
from datascaler.storage import place_file
from tests.data.tars import members_of, shard_of

LINKS = {"link": lambda *_, **__: True}
RENAMES = {"rename": lambda *_, **__: True, "replace": lambda *_, **__: True}
RENAMES_OVER = {"replace": lambda _, target: os.path.lexists(target)}
ERRNOS = (errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EOPNOTSUPP)
LACKING = {"links": LINKS, "links, renaming over": LINKS | RENAMES_OVER, "links, renaming": LINKS | RENAMES}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def take_away(patch: pytest.MonkeyPatch, functions: dict[str, Callable[..., bool]], number: int = errno.EPERM) -> None:
    """As a file system without these: the calls fail where the predicate says so."""
    for name, fails in functions.items():
        real = getattr(os, name)

        def lacking(*args: Any, real: Any = real, fails: Any = fails, **options: Any) -> Any:
            if fails(*args, **options):
                raise OSError(number, os.strerror(number), args[0])
            return real(*args, **options)

        patch.setattr(os, name, lacking)


@pytest.mark.parametrize("lacking", LACKING)
@pytest.mark.parametrize("number", ERRNOS)
def test_it_publishes_with_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacking: str, number: int
) -> None:
    take_away(monkeypatch, LACKING[lacking], number)
    url = f"{tmp_path}/folder/file"
    storage.check_writable(f"{tmp_path}/folder")
    assert storage.publish_if_absent(url, b"first")
    assert not storage.publish_if_absent(url, b"second")
    assert storage.read_bytes(url) == b"first"
    storage.publish_bytes(url, b"third, longer")
    assert storage.read_bytes(url) == b"third, longer"
    assert names(tmp_path / "folder") == ["file"]


@pytest.mark.parametrize("lacking", [None, *LACKING])
def test_one_of_many_writers_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacking: str | None) -> None:
    """Whoever reads while they write sees nothing, or one whole file, ever the same."""
    if lacking:
        take_away(monkeypatch, LACKING[lacking])
    rng = random.Random(5)
    for round_ in range(6):
        url = f"{tmp_path}/{round_}"
        contents = [rng.randbytes(200_000) for _ in range(8)]
        won: list[bytes] = []
        seen: set[bytes] = set()

        def write(mine: bytes, url: str = url, won: list[bytes] = won) -> None:
            if storage.publish_if_absent(url, mine):
                won.append(mine)

        writers = [threading.Thread(target=write, args=(mine,)) for mine in contents]
        for writer in writers:
            writer.start()
        while any(writer.is_alive() for writer in writers):
            if lacking != "links, renaming" and storage.exists(url):  # there, a file is shown when it is closed
                seen.add(storage.read_bytes(url))
        for writer in writers:
            writer.join()
        assert len(won) == 1
        assert storage.read_bytes(url) == won[0]
        assert seen <= {won[0]}
    assert names(tmp_path) == [str(round_) for round_ in range(6)]


def test_a_claim_of_a_killed_writer_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    take_away(monkeypatch, LINKS)
    monkeypatch.setattr(place_file, "_CLAIM_SECONDS", 0.2)
    (tmp_path / "file.claim").write_bytes(b"of one that is dead")
    started = time.monotonic()
    assert storage.publish_if_absent(f"{tmp_path}/file", b"content")
    assert time.monotonic() - started >= 0.2
    assert names(tmp_path) == ["file"]


def test_a_copy_that_breaks_off_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    take_away(monkeypatch, LINKS | RENAMES)

    def full(_: str, target: str) -> None:
        Path(target).write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shutil, "copyfile", full)
    for act in (storage.publish_bytes, storage.publish_if_absent):
        with pytest.raises(StorageError, match="No space left on device; make room, or give a folder on another disk"):
            act(f"{tmp_path}/file", b"content")
        assert names(tmp_path) == []


@pytest.mark.parametrize("lacking", ["links, renaming over", "links, renaming"])
@pytest.mark.parametrize("fails", ["the new one", "removing the old one"])
def test_what_can_not_be_replaced_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacking: str, fails: str
) -> None:
    """On a full disk, and where the file is another user's."""
    url = f"{tmp_path}/file"
    storage.publish_bytes(url, b"the old one")
    take_away(monkeypatch, LACKING[lacking])
    copy, rename, unlink = shutil.copyfile, os.rename, os.unlink

    def placed(act: Callable[[Any, Any], Any], source: Any, target: Any) -> Any:
        if fails == "the new one" and str(target) == url and ".tmp-" in str(source):
            if act is copy:
                Path(target).write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if fails == "removing the old one" and str(source) == url and act is rename:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        return act(source, target)

    def removed(path: Any, **options: Any) -> None:
        if fails == "removing the old one" and str(path) == url:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        unlink(path, **options)

    monkeypatch.setattr(shutil, "copyfile", partial(placed, copy))
    monkeypatch.setattr(os, "rename", partial(placed, rename))
    monkeypatch.setattr(os, "unlink", removed)
    with pytest.raises(StorageError):
        storage.publish_bytes(url, b"the new one")
    assert storage.read_bytes(url) == b"the old one"
    assert names(tmp_path) == ["file"]


def test_nothing_is_asked_of_a_disk_that_can_not_flush(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    for name in ("fsync", "fdatasync", "sync"):
        monkeypatch.setattr(os, name, refused)
    storage.publish_bytes(f"{tmp_path}/file", b"content")
    assert storage.publish_if_absent(f"{tmp_path}/other", b"content")
    assert names(tmp_path) == ["file", "other"]


@pytest.fixture
def one_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which names that differ by case only are one name, as on exFAT and on most Macs."""
    folder = tmp_path / "one case"
    folder.mkdir()
    prefix = f"{folder}/"

    def folded(path: Any) -> Any:
        text = os.fspath(path) if isinstance(path, str | os.PathLike) else ""
        return prefix + text.removeprefix(prefix).lower() if isinstance(text, str) and text.startswith(prefix) else path

    for owner, called in [(os, name) for name in (*_ONE_PATH, *_TWO_PATHS)] + [(builtins, "open"), (io, "open")]:
        paths = 2 if called in _TWO_PATHS else 1
        real = getattr(owner, called)

        def shim(*args: Any, real: Any = real, paths: int = paths, **options: Any) -> Any:
            return real(*map(folded, args[:paths]), *args[paths:], **options)

        monkeypatch.setattr(owner, called, shim)
    return folder


_ONE_PATH = ("open", "stat", "lstat", "unlink", "remove", "mkdir", "scandir", "listdir", "access", "utime", "chmod")
_TWO_PATHS = ("link", "rename", "replace")


def test_names_that_differ_by_case_only(one_case: Path, tmp_path: Path) -> None:
    assert storage.publish_if_absent(f"{one_case}/Shards", b"first")
    assert not storage.publish_if_absent(f"{one_case}/shards", b"second")
    assert storage.read_bytes(f"{one_case}/SHARDS") == b"first"
    for number, name in enumerate(("A.tar", "a.tar")):
        storage.publish_bytes(f"{tmp_path}/pool/{name}", shard_of([members_of(number)]))
    with pytest.raises(ConfigError, match=r"holds other work: shard is .*use another --output-dir"):
        index_part(f"{tmp_path}/pool", f"{one_case}/out")


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EPERM, "Operation not permitted; the file system there may lack what this takes"),
        (errno.EACCES, r"access denied \(.*Permission denied.*\); check the credentials or the mode"),
        (errno.ENOTSUP, "the file system there may lack what this takes: give a folder on another"),
        (errno.EROFS, "Read-only file system; it can only be read: give another folder"),
        (errno.EDQUOT, "make room, or give a folder on another disk"),
        (errno.ENOTCONN, "the mount is broken: mount it anew"),
        (errno.ENAMETOOLONG, "give a shorter path"),
    ],
)
def test_a_fault_of_a_disk_says_what_to_do(number: int, said: str) -> None:
    with pytest.raises(StorageError, match=rf"^/disk/file: .*{said}"), storage.translated_errors("/disk/file"):
        raise OSError(number, os.strerror(number))


def test_a_disk_without_times_or_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    cache = BlockCache(tmp_path / "cache", 1 << 20)
    cache.put("key", b"content")
    assert cache.get("key") == b"content"
    (tmp_path / "file").write_bytes(b"content")
    os.utime(tmp_path / "file", (0, 0))
    # An etag would say that two files of one size are the same.
    assert storage.stat(f"{tmp_path}/file").etag == ""
    assert storage.identify(f"{tmp_path}/file").etag != ""
