"""Local listings see what a stat sees, behind links and in folders that links lead to."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from datascaler import storage
from datascaler.errors import NotFoundError, StorageError


def names(folder: Path, suffix: str = "", *, recursive: bool = False) -> list[str]:
    found = storage.list_files(str(folder), suffix, recursive=recursive)
    return [storage.relative_to(info.url, str(folder)) for info in found]


@pytest.fixture
def unprivileged() -> Iterator[None]:
    """Permissions mean nothing to root."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    yield
    os.seteuid(before)


def test_a_listing_and_a_stat_of_a_link_are_one(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs/1").write_bytes(b"content")
    os.utime(tmp_path / "blobs/1", (1, 1))
    (tmp_path / "pool").mkdir()
    (tmp_path / "pool/0.tar").symlink_to("../blobs/1")
    (listed,) = storage.list_files(str(tmp_path / "pool"))
    assert listed == storage.stat(listed.url)
    assert (listed.size, listed.etag, listed.modified) == (7, "1.0", 1.0)
    assert storage.stat(f"file://{listed.url}").etag == listed.etag


def test_folders_that_are_links(tmp_path: Path) -> None:
    """One that leads back up is entered once."""
    (tmp_path / "elsewhere/deep").mkdir(parents=True)
    (tmp_path / "elsewhere/deep/a.png").touch()
    (tmp_path / "top").mkdir()
    (tmp_path / "top/link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/deep/back").symlink_to(tmp_path / "top")
    assert names(tmp_path / "top", recursive=True) == ["link/deep/a.png"]
    assert names(tmp_path / "top") == []
    assert storage.list_folders(str(tmp_path / "top")) == [str(tmp_path / "top/link")]
    (tmp_path / "alias").symlink_to(tmp_path / "top")
    assert names(tmp_path / "alias", ".png", recursive=True) == ["link/deep/a.png"]


def test_a_link_to_nothing_is_listed_and_said_where_it_is_read(tmp_path: Path) -> None:
    url = str(tmp_path / "0.tar")
    (tmp_path / "0.tar").symlink_to("annex/objects/xyz")
    assert names(tmp_path, ".tar") == ["0.tar"]
    assert not storage.exists(url)
    for act in (storage.stat, storage.read_bytes, storage.open_read, storage.identify):
        with pytest.raises(
            NotFoundError, match=r"0\.tar: not found \(it is a symbolic link to annex/objects/xyz, which"
        ):
            act(url)


def test_a_link_to_itself_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "0.tar").symlink_to("0.tar")
    with pytest.raises(StorageError, match=r"Too many levels of symbolic links: .*0\.tar"):
        storage.list_files(str(tmp_path))


@pytest.mark.usefixtures("unprivileged")
def test_what_can_not_be_looked_at_is_not_left_out() -> None:
    folder = Path(os.path.realpath(f"/tmp/datascaler-test-{os.getpid()}"))  # where everybody may write
    (folder / "open/closed").mkdir(parents=True)
    (folder / "open/closed/0.tar").touch()
    try:
        (folder / "open/closed").chmod(0)
        with pytest.raises(StorageError, match="closed: access denied"):
            storage.list_files(str(folder), ".tar", recursive=True)
        with pytest.raises(StorageError, match="closed: access denied"):
            storage.list_files(f"{folder}/open/closed", ".tar")
        with pytest.raises(StorageError, match=r"0\.tar: access denied"):
            storage.exists(f"{folder}/open/closed/0.tar")
        with pytest.raises(StorageError, match="closed: access denied"):
            storage.list_folders(f"{folder}/open/closed")
    finally:
        (folder / "open/closed").chmod(0o700)
        (folder / "open/closed/0.tar").unlink()
        for path in ("open/closed", "open", "."):
            (folder / path).rmdir()


def test_only_files_are_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.tar")
    (tmp_path / "folder.tar").mkdir()
    (tmp_path / "0.tar").touch()
    assert names(tmp_path, ".tar", recursive=True) == ["0.tar"]
    assert names(tmp_path / "0.tar") == []
    assert names(tmp_path / "nowhere", recursive=True) == []


def test_a_suffix_may_name_the_folder_too(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").touch()
    for suffix, found in (("/run.json", 1), ("run/run.json", 1), ("n.json", 1), ("other/run.json", 0)):
        assert len(storage.list_files(str(run), suffix)) == found, suffix


@pytest.mark.parametrize("act", [storage.read_bytes, storage.open_read, lambda url: storage.read_ranges(url, [(0, 1)])])
def test_what_is_no_file_is_named_and_nobody_waits_for_a_pipe(act: Callable[[str], object], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pt")
    (tmp_path / "folder.pt").mkdir()
    (tmp_path / "loop.pt").symlink_to("loop.pt")
    for name, remedy in (
        ("pipe.pt", "it is a pipe or a device, and a file is needed: write its content to one"),
        ("folder.pt", "it is a folder: give a file"),
        ("loop.pt", "a symbolic link that leads back to itself: remove it"),
    ):
        with pytest.raises(StorageError, match=remedy) as caught:
            act(str(tmp_path / name))
        assert str(caught.value).startswith(f"{tmp_path}/{name}: ")


def test_what_a_shell_hands_over_is_read() -> None:
    read, write = os.pipe()
    os.write(write, b"cat\ndog\n")
    os.close(write)
    try:
        assert storage.read_bytes(f"/dev/fd/{read}") == b"cat\ndog\n"
    finally:
        os.close(read)


@pytest.mark.parametrize("below", ["", "/deeper"])
def test_a_file_where_a_folder_is_to_be(below: str, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("x")
    with pytest.raises(StorageError, match=r"cannot write below .* a file stands where a folder is to be: give"):
        storage.check_writable(f"{tmp_path}/out{below}")
