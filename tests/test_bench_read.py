"""The benchmark of reading compares like with like, and counts what passes."""

import socket
import threading
from pathlib import Path

import pytest

from benchmarks import read_pool
from benchmarks.counting_relay import counting_relay
from benchmarks.read_pool import random_uids, write_planned, write_pool, write_ranges, write_resharded
from benchmarks.read_ways import WAYS

ROWS, SHARDS = 30, 2


# webdataset closes the files that it has opened when they are collected.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_every_way_gives_the_same_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_pool, "ROWS", ROWS)
    monkeypatch.setattr(read_pool, "PICTURES", 7)
    pool, plan, text, copy = (tmp_path / name for name in ("pool", "f.plan", "f.txt", "copy"))
    write_pool(pool, SHARDS)
    kept = random_uids(ROWS * SHARDS, 0.4)
    assert len(kept) == 24
    text.write_text("\n".join(kept))
    write_planned(str(pool), str(plan), str(tmp_path / "tables"), kept)
    write_resharded(copy, pool, kept)
    ranges = tmp_path / "f.npy"
    write_ranges(ranges, str(tmp_path / "tables"), kept)
    inputs = {
        "pread": (pool, ranges),
        "webdataset-decoded": (copy, ""),
        "webdataset-filtered": (pool, text),
        "webdataset-all": (copy, ""),
        "datascaler-first": (pool, plan),
        "datascaler-filtered": (pool, plan),
        "datascaler-bicubic": (pool, plan),
        "datascaler-fast": (pool, plan),
    }
    found = {way: sum(WAYS[way](str(source), str(subset))) for way, (source, subset) in inputs.items()}
    assert found == dict.fromkeys(WAYS, len(kept))


def test_the_relay_counts_what_the_server_sends() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            client, _ = server.accept()
            with client:
                client.sendall(bytes(3 * len(client.recv(100))))

        threading.Thread(target=answer, daemon=True).start()
        with counting_relay("127.0.0.1", server.getsockname()[1]) as (port, received):
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.sendall(bytes(40))
                answered = b""
                while chunk := client.recv(1000):
                    answered += chunk
            assert (len(answered), received.total) == (120, 120)
