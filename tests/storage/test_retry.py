"""Failures in passing are waited out, on a real server behind a proxy that spoils requests; others are said at once."""

import logging
import random

import pytest

from datascaler import storage
from datascaler.errors import ConfigError, NotFoundError, StorageError
from datascaler.storage.retry import retry_seconds
from tests.storage.faulty_proxy import Fault, Faults

CONTENT = random.Random(4).randbytes(300_000)
RANGES = [(start, start + 1_500) for start in range(0, 30_000, 2_000)]


@pytest.fixture
def stored(s3_url: str, faults: Faults) -> str:
    """An object of a store that has answered."""
    assert faults.left == 0
    storage.publish_bytes(f"{s3_url}/object", CONTENT)
    return f"{s3_url}/object"


@pytest.mark.parametrize("kind", ["slow down", "internal error", "reset", "truncated"])
def test_reads_get_through(stored: str, faults: Faults, client: str, kind: Fault) -> None:
    assert client
    faults.set(kind, 4)
    assert storage.read_bytes(stored, 10, 200_000) == CONTENT[10:200_000]
    assert faults.left == 0
    faults.set(kind, 2)
    assert storage.read_ranges(stored, RANGES) == [CONTENT[start:end] for start, end in RANGES]
    assert faults.left == 0
    with storage.open_read(stored, block_bytes=100_000) as file:
        head = file.read(10)
        faults.set(kind, 2)
        assert head + file.read() == CONTENT
    assert faults.left == 0
    faults.set(kind, 2)
    assert storage.read_bytes(stored) == CONTENT
    with storage.local_copy(stored) as path:
        assert path.read_bytes() == CONTENT


@pytest.mark.usefixtures("short_timeouts")
def test_reads_get_through_where_the_line_goes_dead(s3_url: str, faults: Faults, client: str) -> None:
    assert client
    storage.assume_answers(s3_url)
    storage.publish_bytes(f"{s3_url}/object", CONTENT)
    faults.set("stall", 2)
    assert storage.read_ranges(f"{s3_url}/object", RANGES) == [CONTENT[start:end] for start, end in RANGES]
    with storage.open_read(f"{s3_url}/object") as file:
        faults.set("stall", 1)
        assert file.read() == CONTENT
    assert faults.left == 0


def test_only_the_ranges_that_failed_are_asked_for_again(stored: str, faults: Faults) -> None:
    faults.set("internal error", 3)
    storage.read_ranges(stored, RANGES)
    assert faults.requests == len(RANGES) + 3


def test_listings_and_questions_get_through(s3_url: str, stored: str, faults: Faults) -> None:
    faults.set("slow down", 2, where="list-type")
    assert [info.url for info in storage.list_files(s3_url)] == [stored]
    faults.set("reset", 2, "HEAD")
    assert storage.stat(stored).size == len(CONTENT)
    assert faults.left == 0
    faults.set("internal error", 2, "HEAD")
    assert storage.exists(stored)


def test_what_is_published_gets_through(s3_url: str, stored: str, faults: Faults) -> None:
    for kind in ("slow down", "reset", "internal error"):
        faults.set(kind, 3, "PUT")
        storage.publish_bytes(stored, kind.encode())
        assert faults.left == 0
        assert storage.read_bytes(stored) == kind.encode()
    faults.set("internal error", 2, "DELETE")
    storage.remove(stored)
    assert storage.list_files(s3_url) == []


def test_a_conditional_write_whose_answer_was_lost_was_ours(s3_url: str, stored: str, faults: Faults) -> None:
    assert stored
    faults.set("internal error", 1, "PUT", after=True)
    assert storage.publish_if_absent(f"{s3_url}/frozen", b"ours")
    assert faults.left == 0
    assert not storage.publish_if_absent(f"{s3_url}/frozen", b"another's")
    assert storage.read_bytes(f"{s3_url}/frozen") == b"ours"


def test_an_upload_that_breaks_off_leaves_nothing(
    s3_url: str, stored: str, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first part has arrived; without care, closing the file would complete the object with that."""
    assert stored
    monkeypatch.setenv("DATASCALER_RETRY_SECONDS", "0")
    faults.set("internal error", 1, "PUT", where="partNumber=2")
    with (
        pytest.raises(StorageError, match=f"{s3_url}/large: .*Injected InternalError; gave up after"),
        storage.publish(f"{s3_url}/large") as file,
    ):
        for _ in range(14):
            file.write(bytes(8 << 20))
    assert faults.requests > 0
    assert not storage.exists(f"{s3_url}/large")


def test_patience_ends(stored: str, faults: Faults, client: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert client
    monkeypatch.setenv("DATASCALER_RETRY_SECONDS", "0.5")
    faults.set("slow down", 10_000)
    for act in (storage.read_text, lambda url: storage.read_ranges(url, RANGES)):
        with pytest.raises(StorageError, match=rf"{stored}: .*SlowDown.* gave up after \d\.\d s"):
            act(stored)


def test_a_store_that_never_answered_is_not_waited_for(s3_url: str, faults: Faults, client: str) -> None:
    assert client
    faults.set("internal error", 10_000)
    with pytest.raises(StorageError, match="Injected InternalError") as caught:
        storage.read_bytes(f"{s3_url}/object", 0, 10)
    assert faults.requests == 1
    assert "gave up" not in str(caught.value)


def test_a_store_that_asks_to_slow_down_has_answered(s3_url: str, faults: Faults, client: str) -> None:
    assert client
    faults.set("slow down", 3)
    with pytest.raises(NotFoundError):
        storage.read_bytes(f"{s3_url}/nothing", 0, 10)
    assert faults.requests == 4


def test_a_worker_may_trust_its_parents_store(s3_url: str, faults: Faults) -> None:
    storage.assume_answers(s3_url)
    faults.set("reset", 3)
    with pytest.raises(NotFoundError):
        storage.read_bytes(f"{s3_url}/nothing", 0, 10)
    assert faults.left == 0


def test_what_is_not_there_is_asked_for_once(s3_url: str, stored: str, faults: Faults, client: str) -> None:
    assert stored
    assert client
    faults.set("slow down", 0)
    with pytest.raises(NotFoundError):
        storage.read_ranges(f"{s3_url}/nothing", [(0, 10)])
    assert faults.requests == 1


def test_waiting_is_said_but_not_at_every_try(stored: str, faults: Faults, caplog: pytest.LogCaptureFixture) -> None:
    faults.set("slow down", 5)
    with caplog.at_level(logging.WARNING):
        assert storage.read_bytes(stored, 0, 10) == CONTENT[:10]
        faults.set("slow down", 3)
        assert storage.read_bytes(stored, 0, 10) == CONTENT[:10]
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith(f"{stored}: ")
    assert "trying again for up to 300 s" in caplog.messages[0]


@pytest.mark.parametrize("text", ["soon", "-1", "inf", "nan"])
def test_patience_is_a_number_of_seconds(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATASCALER_RETRY_SECONDS", text)
    with pytest.raises(ConfigError, match=f"DATASCALER_RETRY_SECONDS must be a number of seconds.*{text}"):
        retry_seconds()
