"""The benchmark of reading compares like with like, and counts what passes."""

import json
import socket
import threading
import time
from pathlib import Path

import pytest

from benchmarks import read_pool
from benchmarks.counting_relay import counting_relay
from benchmarks.noisy_neighbour import noisy_neighbour
from benchmarks.peers.read_peer import measure, samples_of
from benchmarks.read_peers import installed_peers
from benchmarks.read_pool import random_uids, uid_of_row, write_planned, write_pool, write_ranges, write_resharded
from benchmarks.read_ways import WAYS
from datascaler.data.pool.samples import read_samples

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


def test_peers_that_are_not_installed_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "litdata" / "bin").mkdir(parents=True)
    (tmp_path / "litdata" / "bin" / "python").touch()
    assert [peer.limits for peer in installed_peers(tmp_path)] == [{"vs_litdata_f100": 1.0}]
    assert capsys.readouterr().err.startswith(f"mosaic is not measured: {tmp_path / 'mosaic'} is not there")


def test_a_peer_copies_whole_samples_and_reads_what_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_pool, "ROWS", ROWS)
    monkeypatch.setattr(read_pool, "PICTURES", 7)
    write_pool(tmp_path / "pool", 1)
    tar = tmp_path / "pool" / "00000000.tar"
    copied = list(samples_of(str(tar)))
    with tar.open("rb") as file:
        ours = [(each.image, each.caption) for each in read_samples(file)]
    assert [(each["jpg"], each["txt"].decode()) for each in copied] == ours
    assert [json.loads(each["json"])["uid"] for each in copied] == [uid_of_row(row) for row in range(ROWS)]
    views = [{name: memoryview(content) for name, content in each.items()} for each in copied]
    assert measure(lambda: views, 2)["samples"] == ROWS


def test_the_noisy_neighbour_works_while_it_is_wanted_and_then_ends() -> None:
    with noisy_neighbour() as process:
        began, end = _cpu_ticks(process.pid), time.monotonic() + 30
        while _cpu_ticks(process.pid) == began and time.monotonic() < end:
            time.sleep(0.02)
        assert _cpu_ticks(process.pid) > began
    assert process.returncode is not None


def _cpu_ticks(pid: int) -> int:
    """Linux's count of the time that a process has run, in user mode."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11])


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
