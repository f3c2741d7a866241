"""A process for each accelerator: together they do what one does, and none outlives the others' end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
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


def test_they_end_with_the_one_that_started_them(tmp_path: Path, pool: str, local_dir: str) -> None:
    program = f"""
import sys
from datascaler.score.device_processes import score_in_processes
from tests.score.pools import spec_of
if __name__ == "__main__":
    sys.stdout.write("up\\n"); sys.stdout.flush()
    score_in_processes(spec_of({pool!r}, {str(tmp_path / "out")!r}, {local_dir!r}), 2)
"""
    script = tmp_path / "program.py"
    script.write_text(program)
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}  # noqa: PTH109
    process = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        children = _wait_for_children(process.pid, 2)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{child}").exists() for child in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{child}").exists() for child in children)


def _wait_for_children(pid: int, wanted: int) -> list[str]:
    """Those that have begun to watch over their parent; the resource tracker ends by itself."""
    listing = Path(f"/proc/{pid}/task/{pid}/children")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        children = [
            child for child in listing.read_text().split() if len(list(Path(f"/proc/{child}/task").iterdir())) > 1
        ]
        if len(children) >= wanted:
            return children
        time.sleep(0.05)
    raise AssertionError(f"{wanted} children of {pid} were not seen")
