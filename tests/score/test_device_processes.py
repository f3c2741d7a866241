"""A process for each accelerator: together they do what one does, and none outlives the others' end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from datascaler import storage
from datascaler.data.tables.score_table import read_table
from datascaler.errors import BadInputError, ConfigError
from datascaler.score.device_processes import score_in_processes
from datascaler.score.score_pool import score_pool
from datascaler.score.score_summary import ScoreSummary
from tests.score.pools import SHARDS, make_pool, spec_of, tables_in


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Here and in the processes: sums depend on the number of threads in their last bit."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def rows_of(summary: ScoreSummary) -> dict[str, str]:
    """Name -> the table's rows, as text: a bad row's NaN equals itself there."""
    names = tables_in(summary)
    return {
        name: str(read_table(storage.join(summary.tables, name), ["uid_low", "status", "score"])[0].to_pylist())
        for name in names
    }


def test_two_processes_do_what_one_does(tmp_path: Path, pool: str, local_dir: str) -> None:
    alone = score_pool(spec_of(pool, tmp_path / "one", local_dir))
    together = score_in_processes(spec_of(pool, tmp_path / "two", local_dir), 2)
    assert rows_of(together) == rows_of(alone)
    assert (together.shards, together.rows, together.ok, together.bad) == (5, alone.rows, alone.ok, alone.bad)


def test_workers_with_different_numbers_of_accelerators_do_the_whole_pool(
    tmp_path: Path, pool: str, local_dir: str
) -> None:
    first = score_in_processes(spec_of(pool, tmp_path / "out", local_dir, index=0, count=2), 2)
    second = score_pool(spec_of(pool, tmp_path / "out", local_dir, index=1, count=2))
    assert (first.shards + second.shards, len(tables_in(second))) == (len(SHARDS), len(SHARDS))


def test_the_gravest_error_is_raised(tmp_path: Path, local_dir: str) -> None:
    pool = make_pool(f"{tmp_path}/pool")
    spec = spec_of(pool, tmp_path / "out", local_dir)
    with pytest.raises(ConfigError, match="unknown model 'no such model'"):
        score_in_processes(spec_of(pool, tmp_path / "out", "no such model"), 2)
    score_pool(spec)
    for name in ("00000001", "00000002"):
        storage.remove(f"{pool}/shards/{name}.tar")
    with pytest.raises(BadInputError, match=r"(?s)00000001.*00000002|00000002.*00000001"):
        score_in_processes(spec_of(pool, tmp_path / "out", local_dir, overwrite=True), 2)


@pytest.mark.timeout(900)
def test_they_end_with_the_one_that_started_them(tmp_path: Path, pool: str) -> None:
    # Weights that never come: no process is done before its parent is killed, however slowly either starts.
    weights = tmp_path / "weights.pt"
    os.mkfifo(weights)
    program = f"""
from datascaler.score.device_processes import score_in_processes
from datascaler.spec.score import ScoreSpec
if __name__ == "__main__":
    spec = ScoreSpec(data_dir={pool!r}, output_dir={str(tmp_path / "out")!r}, method="clip", model="ViT-B-32",
                     pretrained={str(weights)!r})
    score_in_processes(spec, 2)
"""
    script = tmp_path / "program.py"
    script.write_text(program)
    process = subprocess.Popen([sys.executable, str(script)], stderr=subprocess.PIPE, text=True)
    children: list[str] = []
    try:
        children = _wait_for_children(process, 2)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        _wait_for("the end of the children", lambda: not any(map(_is_running, children)))
        process.communicate()


def _wait_for_children(process: "subprocess.Popen[str]", wanted: int) -> list[str]:
    """Those that have begun to watch over their parent; the resource tracker, of one thread, ends by itself."""
    listing = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    found: list[str] = []

    def are_there() -> bool:
        assert process.poll() is None, process.communicate()[1]
        found[:] = [child for child in listing.read_text().split() if _is_running(child) and _threads(child) > 1]
        return len(found) >= wanted

    _wait_for(f"{wanted} children of {process.pid}", are_there)
    return found


def _wait_for(what: str, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 400
    while not holds():
        assert time.monotonic() < deadline, f"{what}: not seen"
        time.sleep(0.05)


def _is_running(pid: str) -> bool:
    """Whether there is such a process, and it is more than a record that nobody has asked for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _threads(pid: str) -> int:
    try:
        return len(list(Path(f"/proc/{pid}/task").iterdir()))
    except (FileNotFoundError, ProcessLookupError):
        return 0
