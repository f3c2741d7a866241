"""The node's cache: bounded, shared by processes, and never wrong whatever happens to its files."""

import logging
import os
import resource
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from datascaler.data.read import cache_space
from datascaler.data.read.cache import BlockCache
from datascaler.errors import ConfigError
from tests.data.cache_hammer import content_of

_HEADER_BYTES = 20


def files_of(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*/*") if path.is_file()]


def bytes_of(folder: Path) -> int:
    total = 0
    for path in files_of(folder):
        with suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def hammer(folder: Path, max_bytes: int, seconds: float, seed: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.data.cache_hammer", str(folder), str(max_bytes), str(seconds), str(seed)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_what_was_put_comes_back(tmp_path: Path) -> None:
    cache = BlockCache(tmp_path / "cache", 1 << 20)
    assert cache.get("a") is None
    for key, content in {"a": b"content", "": b"", "x/../y\n": bytes(100_000)}.items():
        cache.put(key, content)
        assert cache.get(key) == content
    again = BlockCache(tmp_path / "cache", 1 << 20)
    assert again.get("a") == b"content"
    again.put("a", b"another")
    assert again.get("a") == b"content"


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    cache = BlockCache(tmp_path, 10 * (1000 + _HEADER_BYTES))
    for number in range(10):
        cache.put(f"{number}", bytes(1000))
        age(cache._path(f"{number}"), 100 - number)
    assert bytes_of(tmp_path) == 10 * (1000 + _HEADER_BYTES)
    assert cache.get("0") is not None
    cache.put("new", bytes(1000))
    kept = {name for name in [*map(str, range(10)), "new"] if cache.get(name) is not None}
    assert kept == {"0", *"3456789", "new"}


def test_what_is_larger_than_the_cache_is_not_kept(tmp_path: Path) -> None:
    cache = BlockCache(tmp_path, 1000)
    cache.put("small", bytes(100))
    cache.put("large", bytes(1000))
    assert cache.get("large") is None
    assert cache.get("small") == bytes(100)


def test_a_scan_is_rare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scans = 0
    scan = cache_space.CacheSpace._files

    def counted(space: cache_space.CacheSpace) -> object:
        nonlocal scans
        scans += 1
        return scan(space)

    monkeypatch.setattr(cache_space.CacheSpace, "_files", counted)
    for _ in range(20):
        cache = BlockCache(tmp_path, 100 * (1000 + _HEADER_BYTES))
    assert scans == 1
    for number in range(400):
        cache.put(f"{number}", bytes(1000))
    assert bytes_of(tmp_path) <= 100 * (1000 + _HEADER_BYTES)
    assert 20 <= scans - 1 <= 40


@pytest.mark.parametrize("damage", ["flip", "flip in header", "cut", "cut in header", "longer", "empty", "another's"])
def test_a_damaged_entry_was_never_there(damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = BlockCache(tmp_path, 1 << 20)
    cache.put("key", content_of("key"))
    cache.put("other", content_of("other"))
    path = cache._path("key")
    content = bytearray(path.read_bytes())
    if damage.startswith("flip"):
        content[10 if "header" in damage else 500] ^= 4
    elif damage.startswith("cut"):
        del content[10 if "header" in damage else -1 :]
    else:
        content = {
            "longer": content + b"\0",
            "empty": bytearray(),
            "another's": bytearray(cache._path("other").read_bytes()),
        }[damage]
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert cache.get("key") is None
    assert "damaged" in caplog.text
    assert not path.exists()
    cache.put("key", content_of("key"))
    assert cache.get("key") == content_of("key")


def test_many_processes_and_one_folder(tmp_path: Path) -> None:
    max_bytes, writers = 400_000, 4
    processes = [hammer(tmp_path, max_bytes, 2, seed) for seed in range(writers)]
    most = 0
    while any(process.poll() is None for process in processes):
        most = max(most, bytes_of(tmp_path))
        time.sleep(0.01)
    for process in processes:
        printed, messages = process.communicate()
        assert process.returncode == 0, messages
        hits, wrong = map(int, printed.split())
        assert hits > 0
        assert wrong == 0
        assert messages == ""
    assert max_bytes / 2 < most <= max_bytes + writers * 8_100


def test_processes_that_are_killed(tmp_path: Path) -> None:
    max_bytes = 200_000
    for seed in range(4):
        with hammer(tmp_path, max_bytes, 60, seed) as process:
            while len(files_of(tmp_path)) < 10:
                time.sleep(0.01)
            time.sleep(0.1 + seed * 0.03)
            process.kill()
    debris = tmp_path / "00" / "tmp-of-one-killed"
    debris.parent.mkdir(exist_ok=True)
    debris.write_bytes(bytes(50_000))
    age(debris, 3600)
    cache = BlockCache(tmp_path, max_bytes)
    for number in range(400):
        assert cache.get(f"block-{number}") in (None, content_of(f"block-{number}"))
        cache.put(f"block-{number}", content_of(f"block-{number}"))
    assert not debris.exists()
    assert bytes_of(tmp_path) <= max_bytes + 4 * 8_100
    assert cache.get("block-399") == content_of("block-399")


def test_threads_of_one_process(tmp_path: Path) -> None:
    cache = BlockCache(tmp_path, 100_000)
    wrong: list[str] = []

    def work(seed: int) -> None:
        for number in range(200):
            key = f"block-{(number * 7 + seed) % 50}"
            if cache.get(key) not in (None, content_of(key)):
                wrong.append(key)
            cache.put(key, content_of(key))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert bytes_of(tmp_path) <= 100_000


def test_a_disk_that_takes_no_more(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A limit on file sizes fails in the middle of a write, as a full disk does."""
    cache = BlockCache(tmp_path, 1 << 20)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with caplog.at_level(logging.WARNING):
            for number in range(5):
                cache.put(f"large-{number}", bytes(50_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(caplog.messages) == 1
    assert "going on without" in caplog.messages[0]
    assert files_of(tmp_path) == []
    cache.put("later", bytes(50_000))
    assert cache.get("later") == bytes(50_000)


def test_a_folder_that_went_away(tmp_path: Path) -> None:
    cache = BlockCache(tmp_path / "cache", 1 << 20)
    cache.put("a", b"content")
    (tmp_path / "cache").rename(tmp_path / "moved")
    assert cache.get("a") is None
    cache.put("a", b"content")
    assert cache.get("a") is None


def test_what_cannot_be_a_cache(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"cache folder .*file/below cannot be used"):
        BlockCache(tmp_path / "file" / "below", 1000)
    with pytest.raises(ConfigError, match="must be at least 1 byte, got 0"):
        BlockCache(tmp_path, 0)
