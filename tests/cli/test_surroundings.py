"""Commands on machines with habits of their own: the right result, and a stop that is heeded while they wait.

`make test-slow` trains so.
"""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from datascaler.data.tables.index_tables import index_part
from tests.data.tars import members_of, shard_of
from tests.stopping import Command
from tests.storage.web_server import Web, web_server
from tests.surroundings import (
    FULL,
    HOST,
    LONG,
    NOBODY_READS,
    RESULT_SECONDS,
    SHADOWS,
    SHARED_MEMORY,
    STOP_SECONDS,
    TRIES,
    under,
)


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """Of a pool whose last shard never comes."""
    folder = tmp_path_factory.mktemp("web")
    for number in range(3):
        (folder / f"{number:05d}.tar").write_bytes(shard_of([members_of(number), members_of(number + 10)]))
    with web_server(folder) as web:
        web.silent = "00002.tar"
        yield web


def tables(folder: Path) -> dict[str, list[object]]:
    return {path.name: pq.read_table(path).to_pylist() for path in folder.rglob("0000?.parquet")}


@pytest.mark.parametrize("names", [[HOST, SHARED_MEMORY], [NOBODY_READS], [FULL], [LONG, SHADOWS]], ids=", ".join)
def test_it_works_and_stops_within_seconds(names: list[str], web: Web, tmp_path: Path) -> None:
    index_part(web.url, f"{tmp_path}/here", index=0, count=3)
    index_part(web.url, f"{tmp_path}/here", index=1, count=3)
    times: list[tuple[float, float]] = []
    for attempt in range(TRIES):
        folder, out = tmp_path / f"{attempt}", tmp_path / f"out{attempt}"
        folder.mkdir()
        words = ["pool", "index", f"--data-dir={web.url}", f"--output-dir={out}"]
        began = time.monotonic()
        with Command(*words, under=under(names, folder)) as run:
            while len(tables(out)) < 2:
                assert run.process.poll() is None, run.said()
                assert time.monotonic() < began + 4 * RESULT_SECONDS, run.said()
                time.sleep(0.05)
            assert tables(out) == tables(tmp_path / "here")
            worked = time.monotonic()
            run.send(signal.SIGTERM)
            assert run.wait() == 143, run.said()
            times.append((worked - began, time.monotonic() - worked))
            if times[-1][0] < RESULT_SECONDS and times[-1][1] < STOP_SECONDS:
                return
    pytest.fail(f"seconds to the result and to the stop: {times}")
