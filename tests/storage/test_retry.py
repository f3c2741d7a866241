"""Failures in passing are waited out, on a real server behind a proxy that spoils requests; others are said at once."""

import logging
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module

import pytest

from datascaler import storage
from datascaler.errors import ConfigError, NotFoundError, StorageError
from datascaler.storage import retry
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


@pytest.mark.parametrize("kind", ["slow down", "internal error", "reset", "truncated", "short", "short range"])
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


@pytest.mark.parametrize("kind", ["short", "short range"])
def test_an_answer_that_is_always_short_is_an_error(
    stored: str, faults: Faults, client: str, kind: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names the file, what came and what was asked for."""
    monkeypatch.setenv("DATASCALER_RETRY_SECONDS", "0.1")
    with storage.open_read(stored, block_bytes=100_000) as file:
        faults.set(kind, 10_000)
        acts: dict[str, Callable[[], object]] = {
            "750 of the 1,500 bytes from 0 to 1500|0..1500, got 0..750": lambda: storage.read_ranges(stored, RANGES),
            "95,000 of the 190,000 bytes from 10 to 190010|10..190010, got 10..95010": lambda: storage.read_bytes(
                stored, 10, 190_010
            ),
            "50,000 of the 100,000 bytes from 0 to 100000|0..100000, got 0..50000": lambda: file.read(100_000),
            # The whole of it has a checksum, which is looked at before the length.
            "150,000 of the 300,000 bytes|did not match calculated checksum": lambda: storage.read_bytes(stored),
        }
        for said, act in acts.items():
            with pytest.raises(StorageError, match=rf"{stored}: .*({said}).*; gave up after"):
                act()
    assert client


def test_neighbours_in_a_short_answer(stored: str, faults: Faults, client: str) -> None:
    """What is asked for by one request may be cut into pieces by the client, who may not look how long it is."""
    assert client
    ranges = [(start, start + 100) for start in range(0, 1_000, 100)] + [(50, 850)]
    faults.set("short", 2)
    assert storage.read_ranges(stored, ranges) == [CONTENT[start:end] for start, end in ranges]
    assert faults.left == 0


def test_a_short_answer_is_asked_for_again_whoever_else_has_answered(s3_url: str, faults: Faults, client: str) -> None:
    """It comes from a store that is there."""
    assert client
    storage.publish_bytes(f"{s3_url}/object", CONTENT)
    retry._answered.clear()
    faults.set("short", 1)
    assert storage.read_bytes(f"{s3_url}/object", 0, 1_000) == CONTENT[:1_000]


def test_a_wrong_checksum_is_a_failure_in_passing(stored: str, faults: Faults, client: str) -> None:
    faults.set("wrong checksum", 3)
    assert storage.read_bytes(stored) == CONTENT
    assert faults.left == 0
    faults.set("wrong checksum", 2)
    assert storage.read_ranges(stored, RANGES) == [CONTENT[start:end] for start, end in RANGES]
    # obstore does not look at checksums.
    assert faults.requests == len(RANGES) + (2 if client == "fsspec" else 0)


def test_what_a_checksum_of_the_whole_shows_is_read_again(stored: str, faults: Faults, client: str) -> None:
    assert client
    for _ in range(3):
        faults.set("flipped", 1)
        assert storage.read_bytes(stored) == CONTENT
        assert faults.left == 0
        faults.set("flipped", 1)
        with storage.local_copy(stored) as path:
            assert path.read_bytes() == CONTENT


def test_a_file_that_has_become_shorter_is_no_fault(stored: str, client: str) -> None:
    """Where it ends is asked of the store, and is not what somebody saw before."""
    assert client
    storage.publish_bytes(stored, CONTENT[:500])
    assert storage.read_ranges(stored, [(0, 1_000), (400, 600), (700, 800)]) == [CONTENT[:500], CONTENT[400:500], b""]


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


def test_a_store_without_conditional_writes(
    s3_url: str, stored: str, faults: Faults, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers 501. Whoever wrote last of those that found nothing is who wrote, for all of them."""
    assert stored
    publish = import_module("datascaler.storage.publish")  # storage has a function of that name
    monkeypatch.setattr(publish, "_SETTLE_SECONDS", 0.3)
    monkeypatch.setattr(publish, "_unconditional", set())
    faults.set("no conditions", 1_000, "PUT")
    assert storage.publish_if_absent(f"{s3_url}/frozen", b"first")
    assert not storage.publish_if_absent(f"{s3_url}/frozen", b"second")
    assert storage.read_bytes(f"{s3_url}/frozen") == b"first"
    with ThreadPoolExecutor(4) as executor:
        texts = [f"writer {number}".encode() for number in range(4)]
        won = list(executor.map(lambda text: storage.publish_if_absent(f"{s3_url}/raced", text), texts))
    assert [text for text, mine in zip(texts, won, strict=True) if mine] == [storage.read_bytes(f"{s3_url}/raced")]
    assert len(caplog.messages) == 1
    assert "knows no conditional writes" in caplog.messages[0]


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
