"""What an output folder's files tell of its scoring runs."""

from dataclasses import replace
from pathlib import Path

import pytest

from datascaler import storage
from datascaler.data.pool.samples import BAD_IMAGE, NO_IMAGE, OK, Sample
from datascaler.data.pool.shard_list import frozen_shards
from datascaler.data.tables.index_tables import index_part
from datascaler.data.tables.score_table import index_footer, read_footer, read_listed_footer, table_url, write_table
from datascaler.data.tables.scoring_progress import (
    INDEX,
    RECENT_TABLES,
    Known,
    Published,
    Rate,
    find_score_runs,
    table_rate,
)
from datascaler.errors import RunNotFoundError
from tests.data.tars import members_of, shard_of

NAN = float("nan")


def make_run(folder: str, shards: int, done: int, score_id: str = "clip-x-00000000") -> str:
    """`done` of `shards` tables, of three rows each: one ok, and two bad ones."""
    for number in range(shards):
        storage.publish_bytes(f"{folder}/pool/{number:04d}.tar", b"x" * 512)
    out = f"{folder}/out"
    rows = [Sample(row, f"{row}", row * 512, 512, status=state) for row, state in enumerate([OK, BAD_IMAGE, NO_IMAGE])]
    for shard in frozen_shards(out, f"{folder}/pool")[:done]:
        footer = replace(index_footer(shard), score_id=score_id, method="clip")
        write_table(table_url(f"{out}/scores/{score_id}", shard), footer, rows, [0.5, NAN, NAN])
    return out


@pytest.mark.parametrize("place", ["tmp_path", "s3_url"])
def test_done_missing_and_bad(place: str, request: pytest.FixtureRequest) -> None:
    out = make_run(str(request.getfixturevalue(place)), shards=5, done=3)
    (run,) = find_score_runs(out)
    assert (run.score_id, run.tables) == ("clip-x-00000000", f"{out}/scores/clip-x-00000000")
    assert (run.wanted, run.done, run.missing, run.first_missing) == (5, 3, 2, ["0003.tar", "0004.tar"])
    assert (run.shards, run.rows, run.ok, run.bad) == (3, 9, 3, {BAD_IMAGE: 3, NO_IMAGE: 3})
    assert run.working
    assert run.newest is not None
    assert run.newest.endswith("+00:00")


def test_runs_of_two_methods_and_an_index(tmp_path: Path) -> None:
    for number in range(2):
        storage.publish_bytes(f"{tmp_path}/pool/{number:04d}.tar", shard_of([members_of(number)]))
    index_part(f"{tmp_path}/pool", f"{tmp_path}/out")
    rows = [Sample(0, "0", 0, 512)]
    shards = frozen_shards(f"{tmp_path}/out", f"{tmp_path}/pool")
    for score_id, done in (("clip-x-00000000", 2), ("dfn-x-11111111", 1)):
        for shard in shards[:done]:
            footer = replace(index_footer(shard), score_id=score_id)
            write_table(table_url(f"{tmp_path}/out/scores/{score_id}", shard), footer, rows, [0.1])
    found = find_score_runs(f"{tmp_path}/out")
    assert [(run.score_id, run.done, run.missing) for run in found] == [
        (INDEX, 2, 0),
        ("clip-x-00000000", 2, 0),
        ("dfn-x-11111111", 1, 1),
    ]
    assert [run.eta_seconds for run in found[:2]] == [0.0, 0.0]


def test_what_is_no_table_of_the_list_does_not_count(tmp_path: Path) -> None:
    out = make_run(str(tmp_path), shards=2, done=2)
    folder = f"{out}/scores/clip-x-00000000"
    content = storage.read_bytes(f"{folder}/0000.parquet")
    storage.publish_bytes(f"{folder}/0009.parquet", content)
    storage.publish_bytes(f"{folder}/0001.parquet.tmp-123", content)
    (run,) = find_score_runs(out)
    assert (run.done, run.missing, run.rows) == (2, 0, 6)


def test_a_damaged_table_is_named(tmp_path: Path) -> None:
    out = make_run(str(tmp_path), shards=3, done=3)
    for name, content in (("0000", b"not parquet"), ("0001", b"")):
        storage.publish_bytes(f"{out}/scores/clip-x-00000000/{name}.parquet", content)
    (run,) = find_score_runs(out)
    assert sorted(run.unreadable) == ["0000.parquet", "0001.parquet"]
    assert (run.shards, run.rows) == (1, 3)


def test_a_watcher_reads_each_footer_once(tmp_path: Path) -> None:
    out = make_run(str(tmp_path), shards=3, done=2)
    known: Known = {}
    find_score_runs(out, known=known)
    assert len(known) == 2
    before = dict(known)
    make_run(str(tmp_path), shards=3, done=3)
    (run,) = find_score_runs(out, known=known)
    assert (run.done, run.rows) == (3, 9)
    # The very objects: what was known was not read again.
    assert len(known) == 3
    assert all(known[info] is footer for info, footer in before.items())


def test_without_counts_only_the_newest_footers_are_read(tmp_path: Path) -> None:
    out = make_run(str(tmp_path), shards=RECENT_TABLES + 6, done=RECENT_TABLES + 5)
    known: Known = {}
    (run,) = find_score_runs(out, known=known, counts=False)
    assert len(known) == run.shards == RECENT_TABLES
    assert (run.done, run.missing) == (RECENT_TABLES + 5, 1)
    assert run.samples_per_second is not None
    assert run.eta_seconds == pytest.approx(3 / run.samples_per_second)


def test_a_folder_without_runs_is_said(tmp_path: Path) -> None:
    with pytest.raises(RunNotFoundError, match=r"no shards\.parquet"):
        find_score_runs(str(tmp_path))


def test_a_footer_longer_than_the_first_request_is_read_whole(tmp_path: Path) -> None:
    storage.publish_bytes(f"{tmp_path}/pool/0.tar", b"x" * 512)
    (shard,) = frozen_shards(f"{tmp_path}/out", f"{tmp_path}/pool")
    footer = replace(index_footer(shard), settings={"entries": "0123456789abcdef" * 4000})
    write_table(f"{tmp_path}/table.parquet", footer, [Sample(0, "0", 0, 512)])
    info = storage.stat(f"{tmp_path}/table.parquet")
    assert read_listed_footer(info) == read_footer(info.url)
    assert info.modified > 0


def tables(*modified: float, rows: int = 100, seconds: float = 10.0) -> list[Published]:
    return [Published(at, rows, seconds) for at in modified]


def test_tables_at_even_times() -> None:
    assert table_rate(tables(1000, 1010, 1020), now=1021) == Rate(10.0, working=True)
    assert table_rate(tables(1020, 1000, 1010), now=1021) == Rate(10.0, working=True)


def test_several_workers_add_up() -> None:
    assert table_rate(tables(1000, 1000, 1010, 1010, 1020, 1020), now=1025).samples_per_second == pytest.approx(25)


@pytest.mark.parametrize("modified", [(), (1000.0,), (1000.0, 1000.0)])
def test_too_few_tables_have_no_rate(modified: tuple[float, ...]) -> None:
    rate = table_rate(tables(*modified), now=1001)
    assert rate == Rate(None, working=bool(modified))


def test_a_night_without_workers_is_not_counted() -> None:
    before, after = tables(0, 1, 2), tables(40_000, 40_010, 40_020)
    assert table_rate([*before, *after], now=40_025) == Rate(10.0, working=True)
    assert table_rate([*before, *tables(40_000)], now=40_001) == Rate(None, working=True)


def test_nobody_works_when_no_table_came_for_longer_than_shards_take() -> None:
    recent = tables(1000, 1010, seconds=10.0)
    assert table_rate(recent, now=1010 + 80).working
    assert not table_rate(recent, now=1010 + 81).working
    # Slow shards: silence is normal.
    assert table_rate(tables(1000, 1010, seconds=3600), now=1010 + 7000).working
