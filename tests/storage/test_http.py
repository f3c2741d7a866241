"""Pools on web servers: sizes, identities and ranges, of servers that can much and of those that can little."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfFileSystem

from datascaler import storage
from datascaler.data.pool.shards import find_shards
from datascaler.data.tables.index_tables import index_part
from datascaler.errors import ConfigError, NotFoundError, StorageError
from datascaler.storage import retry
from tests.data.tars import members_of, shard_of
from tests.storage.web_server import Web, web_server

CONTENT = random.Random(6).randbytes(50_000)


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """Of a folder with a file, and a pool of three shards, one number missing."""
    monkeypatch.setattr(retry, "_FIRST_PAUSE_SECONDS", 0.01)
    (tmp_path / "web/pool").mkdir(parents=True)
    (tmp_path / "web/file").write_bytes(CONTENT)
    (tmp_path / "web/empty").touch()
    for number in (0, 1, 3):
        (tmp_path / f"web/pool/{number:05d}.tar").write_bytes(shard_of([members_of(number), members_of(number + 10)]))
    with web_server(tmp_path / "web") as web:
        yield web


def set_kind(web: Web, kind: str) -> None:
    if kind == "python's own":
        web.has_ranges = web.has_etags = False
    elif kind == "no HEAD":
        web.answers_head = False


@pytest.mark.parametrize("kind", ["full", "python's own", "no HEAD"])
def test_a_pool_on_a_web_server(web: Web, tmp_path: Path, kind: str) -> None:
    set_kind(web, kind)
    shards = find_shards(f"{web.url}/pool")
    assert [(shard.name, shard.size) for shard in shards] == [
        (f"{number:05d}.tar", (tmp_path / f"web/pool/{number:05d}.tar").stat().st_size) for number in (0, 1, 3)
    ]
    assert all(shard.etag for shard in shards)
    summary = index_part(f"{web.url}/pool", str(tmp_path / "out"))
    assert (summary.shards, summary.ok) == (3, 6)
    assert index_part(f"{web.url}/pool", str(tmp_path / "out")).skipped == 3


def test_a_server_that_lists_nothing(web: Web) -> None:
    web.lists = False
    braces = f"{web.url}/pool/{{00000..00004}}.tar"
    assert [shard.name for shard in find_shards(braces)] == ["00000.tar", "00001.tar", "00003.tar"]
    assert [shard.name for shard in find_shards(f"{web.url}/pool/00003.tar")] == ["00003.tar"]
    with pytest.raises(StorageError, match=f"{web.url}/pool: access denied"):
        find_shards(f"{web.url}/pool")
    with pytest.raises(ConfigError, match=r"a server that lists no folders takes DIR/\{00000\.\.00012\}\.tar"):
        find_shards(f"{web.url}/nowhere")


def test_reading(web: Web) -> None:
    url = f"{web.url}/file"
    assert storage.read_bytes(url) == CONTENT
    assert storage.read_bytes(f"{web.url}/empty") == b""
    assert storage.read_ranges(url, [(10, 20), (49_990, 60_000), (60_000, 60_010)]) == [
        CONTENT[10:20],
        CONTENT[49_990:],
        b"",
    ]
    with storage.open_read(url, block_bytes=1_000) as file, storage.local_copy(url) as path:
        assert file.read(30_000) + file.read() == path.read_bytes() == CONTENT


def test_what_fails_in_passing_is_asked_for_again(web: Web) -> None:
    url = f"{web.url}/file"
    storage.assume_answers(url)
    web.busy = 2
    assert storage.stat(url).size == len(CONTENT)
    web.busy = 3
    assert storage.exists(url)
    web.short = 2
    assert storage.read_bytes(url) == CONTENT
    web.short = 2
    assert storage.read_ranges(url, [(10, 20), (30, 50)]) == [CONTENT[10:20], CONTENT[30:50]]
    with storage.open_read(url, block_bytes=10_000) as file:
        web.busy, web.short = 1, 1
        assert file.read() == CONTENT


def test_a_server_that_is_busy_has_the_file_all_the_same(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """It must not be taken for one that has not."""
    monkeypatch.setenv("DATASCALER_RETRY_SECONDS", "0.1")
    web.busy = 1_000
    for act in (storage.exists, storage.stat, storage.read_bytes, lambda _: storage.list_files(f"{web.url}/pool")):
        with pytest.raises(StorageError, match="503") as caught:
            act(f"{web.url}/file")
        assert not isinstance(caught.value, NotFoundError)


def test_what_is_not_there(web: Web) -> None:
    assert not storage.exists(f"{web.url}/nothing")
    assert storage.list_files(f"{web.url}/nothing") == []
    for act in (storage.stat, storage.read_bytes, storage.open_read):
        with pytest.raises(NotFoundError, match=f"{web.url}/nothing: not found"):
            act(f"{web.url}/nothing")


def test_a_server_without_ranges_gives_whole_files_only(web: Web) -> None:
    web.has_ranges = False
    assert storage.read_bytes(f"{web.url}/file") == CONTENT
    assert storage.read_bytes(f"{web.url}/file", 0, 60_000) == CONTENT
    with pytest.raises(StorageError, match=r"asked for 10 bytes, the store sent 50,000: it can't serve parts of files"):
        storage.read_bytes(f"{web.url}/file", 10, 20)


def test_a_file_that_is_replaced_while_it_is_open(web: Web, tmp_path: Path) -> None:
    with storage.open_read(f"{web.url}/file", block_bytes=1_000) as file:
        assert file.read(10) == CONTENT[:10]
        (tmp_path / "web/file").write_bytes(CONTENT[::-1])
        with pytest.raises(StorageError, match=f"{web.url}/file: changed while it was being read"):
            file.read(5_000)


def test_nothing_is_written(web: Web) -> None:
    acts = (
        storage.check_writable,
        storage.remove,
        lambda url: storage.publish_bytes(url, b""),
        lambda url: storage.publish_if_absent(url, b""),
    )
    for act in acts:
        with pytest.raises(StorageError, match="nothing can be written to a web server"):
            act(f"{web.url}/new")


def test_stores_that_can_not_be_reached_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATASCALER_RETRY_SECONDS", "0")
    for url in ("http://127.0.0.1:9/file", "https://127.0.0.1:9/file", "http://no-such-host.invalid/file"):
        for act in (storage.stat, storage.read_bytes, storage.open_read, storage.list_files, storage.exists):
            with pytest.raises(StorageError, match=url) as caught:
                act(url)
            assert not isinstance(caught.value, NotFoundError)


@pytest.mark.parametrize("proxy", ["nonsense", "127.0.0.1:9", "http://127.0.0.1:9"])
def test_a_proxy_that_can_not_be_is_thought_of(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATASCALER_RETRY_SECONDS", "0")
    monkeypatch.setenv("http_proxy", proxy)
    with pytest.raises(
        StorageError, match=f"{proxy[-4:]}.*; check the address, and the proxy .http_proxy and https_proxy"
    ):
        storage.stat("http://no-such-host.invalid/file")


def test_a_hub_that_can_not_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    HfFileSystem.clear_instance_cache()
    for act in (storage.stat, storage.exists, storage.list_files, storage.read_bytes, find_shards):
        with pytest.raises(StorageError, match=r"hf://datasets/a/b/x\.tar: .*Connection refused"):
            act("hf://datasets/a/b/x.tar")
