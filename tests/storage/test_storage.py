"""The storage functions, on a local folder, in memory and on a real S3 server alike."""

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
import s3fs

from datascaler import storage
from datascaler.data.pool.shards import find_shards
from datascaler.errors import ConfigError, NotFoundError, StorageError


@pytest.fixture(params=["local", "memory", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "s3":
        return str(request.getfixturevalue("s3_url"))
    return str(tmp_path / "made") if request.param == "local" else f"memory://{uuid.uuid4().hex}"


def test_what_is_published_can_be_read_listed_and_removed(folder: str) -> None:
    url = storage.join(folder, "a", "b.bin")
    storage.publish_bytes(url, b"0123456789")
    assert storage.exists(url)
    assert storage.read_bytes(url) == b"0123456789"
    assert storage.read_bytes(url, 2, 5) == b"234"
    assert storage.stat(url).size == 10
    assert [storage.relative_to(info.url, folder) for info in storage.list_files(folder, recursive=True)] == ["a/b.bin"]
    assert storage.list_files(folder) == []
    assert [storage.basename(url) for url in storage.list_folders(folder)] == ["a"]
    with storage.local_copy(url) as path:
        assert path.read_bytes() == b"0123456789"
    with storage.open_read(url) as file:
        file.seek(7)
        assert file.read() == b"789"
    storage.remove(url)
    assert not storage.exists(url)


def test_a_body_that_raises_publishes_nothing(folder: str) -> None:
    url = storage.join(folder, "half.bin")
    with pytest.raises(RuntimeError), storage.publish(url) as file:
        file.write(b"half of it")
        raise RuntimeError
    assert storage.list_files(folder, recursive=True) == []


def test_publishing_replaces_whole_files(folder: str) -> None:
    url = storage.join(folder, "x.json")
    storage.publish_json(url, {"version": 1})
    first = storage.stat(url)
    storage.publish_json(url, {"version": 2, "more": "text"})
    assert storage.read_json(url) == {"version": 2, "more": "text"}
    assert storage.stat(url).etag != first.etag
    assert len(storage.list_files(folder, recursive=True)) == 1


def test_only_the_first_writer_of_a_frozen_file_wins(folder: str) -> None:
    url = storage.join(folder, "frozen")
    assert storage.publish_if_absent(url, b"first")
    assert not storage.publish_if_absent(url, b"second")
    assert storage.read_bytes(url) == b"first"
    assert len(storage.list_files(folder, recursive=True)) == 1


def test_a_missing_file_is_named(folder: str) -> None:
    url = storage.join(folder, "nothing-here")
    with pytest.raises(NotFoundError, match="nothing-here: not found"):
        storage.read_bytes(url)
    assert not storage.exists(url)
    assert storage.list_files(url) == []
    assert storage.list_folders(url) == []


def test_a_wrong_bucket_is_named(s3_url: str) -> None:
    """No retry will help: a wrong configuration, whatever was tried first."""
    missing = s3_url.replace("s3://", "s3://missing-")
    acts: list[Callable[[], object]] = [
        lambda: storage.read_bytes(f"{missing}/file"),
        lambda: storage.stat(f"{missing}/file"),
        lambda: storage.check_writable(missing),
        lambda: storage.publish_if_absent(f"{missing}/file", b""),
        lambda: storage.require_bucket(missing),
        lambda: find_shards(missing),
    ]
    for act in acts:
        with pytest.raises(ConfigError, match=f"the bucket of {missing}.* does not exist: make it, or correct the URL"):
            act()
    storage.require_bucket(f"{s3_url}/no/such/folder")


def test_wrong_credentials_are_said_to_be_wrong(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    s3fs.S3FileSystem.clear_instance_cache()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")
    with pytest.raises(StorageError, match="credentials"):
        storage.read_bytes(f"{s3_url}/file")


def test_an_endpoint_where_nobody_listens(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    s3fs.S3FileSystem.clear_instance_cache()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StorageError, match="AWS_ENDPOINT_URL"):
        storage.stat(f"{s3_url}/file")


def test_an_unwritable_folder_is_found_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="cannot write below"):
        storage.check_writable(str(tmp_path / "file" / "below"))
    storage.check_writable(str(tmp_path / "new"))


def test_an_unknown_scheme_is_a_storage_error() -> None:
    with pytest.raises(StorageError, match="nonsense"):
        storage.exists("nonsense://x/y")


def test_of_two_writers_that_both_saw_nothing_one_wins(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's condition decides, since both may look before either has written."""
    url = f"{s3_url}/once"
    assert storage.publish_if_absent(url, b"first")
    monkeypatch.setattr("s3fs.S3FileSystem.exists", lambda *_args, **_kwargs: False)
    assert not storage.publish_if_absent(url, b"second")
    assert storage.read_bytes(url) == b"first"
