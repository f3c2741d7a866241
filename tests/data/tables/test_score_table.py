"""Score tables: their rows, their footers, and when a table is the work that is asked for."""

import io
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datascaler import storage
from datascaler.data.pool.parquet import read_parquet
from datascaler.data.pool.samples import BAD_IMAGE, NO_CAPTION, OK, Sample
from datascaler.data.tables.score_table import (
    SCHEMA_VERSION,
    Footer,
    index_footer,
    is_done,
    publish_table,
    read_footer,
    read_table,
    rows_table,
    table_url,
    write_table,
)
from datascaler.errors import ConfigError
from tests.data.made_tables import shard_named

FOOTER = Footer(
    shard="a.tar",
    size=5000,
    etag="e",
    score_id="clip-x",
    method="clip",
    model="x",
    weights_hash="w",
    preprocess_hash="p",
    settings={"seed": 0},
)
NAN = float("nan")


def samples() -> list[Sample]:
    rows = [(OK, "a"), (BAD_IMAGE, "b"), (OK, "surrogate \udcff"), (NO_CAPTION, "d"), (BAD_IMAGE, "e")]
    return [
        Sample(row=row, key=key, offset=row * 512, length=512, uid=(2**64 - 1 - row, row), status=status)
        for row, (status, key) in enumerate(rows)
    ]


@pytest.mark.parametrize("where", ["local", "s3"])
def test_rows_and_footer_come_back(request: pytest.FixtureRequest, where: str) -> None:
    folder = request.getfixturevalue("s3_url" if where == "s3" else "tmp_path")
    url = f"{folder}/a.parquet"
    written = write_table(url, FOOTER, samples(), [0.5, NAN, -0.25, NAN, NAN])
    assert (written.rows, written.ok, written.bad) == (5, 2, {BAD_IMAGE: 2, NO_CAPTION: 1})
    assert read_footer(url) == written == replace(FOOTER, rows=5, ok=2, bad=written.bad)
    table, footer = read_table(url, ["score", "uid_high", "uid_low", "status", "key", "offset", "length"])
    assert footer == written
    assert table["score"].type == pa.float32()
    assert np.array_equal(table["score"].to_numpy(), np.array([0.5, NAN, -0.25, NAN, NAN]), equal_nan=True)
    assert table["uid_high"].to_pylist() == [2**64 - 1 - row for row in range(5)]
    assert table["uid_low"].to_pylist() == list(range(5))
    assert table["offset"].to_pylist() == [512 * row for row in range(5)]
    assert table["status"].to_pylist() == [sample.status for sample in samples()]
    assert table["key"].to_pylist() == ["a", "b", "surrogate ?", "d", "e"]


def test_an_empty_table_and_an_index(tmp_path: Path) -> None:
    empty = write_table(f"{tmp_path}/e.parquet", FOOTER, [], [])
    assert (empty.rows, empty.ok, empty.bad) == (0, 0, {})
    assert read_table(f"{tmp_path}/e.parquet", ["score"])[0].num_rows == 0
    shard = shard_named("a")
    index = write_table(f"{tmp_path}/i.parquet", index_footer(shard), samples())
    assert (index.shard, index.size, index.etag, index.score_id) == (shard.name, shard.size, shard.etag, "")
    with pytest.raises(ConfigError, match=r"i\.parquet has no column 'score'"):
        read_table(f"{tmp_path}/i.parquet", ["score"])


def test_a_row_costs_little_more_than_its_uid(tmp_path: Path) -> None:
    """At 9,000 samples of 35 kB in download order, as img2dataset writes them; a uid is 16 bytes of chance."""
    generator = np.random.default_rng(0)
    keys = generator.permutation(10_000)[:9000]
    lengths = 512 * (generator.lognormal(np.log(32_000) - 0.18, 0.6, 9000) // 512 + 7).astype(int)
    offsets = np.cumsum(lengths) - lengths
    halves = generator.integers(0, 1 << 64, (9000, 2), dtype=np.uint64).tolist()
    rows = [
        Sample(row=row, key=f"{key:012d}", offset=int(offset), length=int(length), uid=(high, low))
        for row, (key, offset, length, (high, low)) in enumerate(zip(keys, offsets, lengths, halves, strict=True))
    ]
    write_table(f"{tmp_path}/a.parquet", FOOTER, rows)
    assert (tmp_path / "a.parquet").stat().st_size / 9000 < 16 + 6
    table, _ = read_table(f"{tmp_path}/a.parquet", ["key", "offset", "length"])
    assert table["key"].to_pylist() == [row.key for row in rows]
    assert table["offset"].to_pylist() == offsets.tolist()
    assert table["length"].to_pylist() == lengths.tolist()


def test_columns_are_published_as_rows_are(tmp_path: Path) -> None:
    footer = write_table(f"{tmp_path}/a.parquet", FOOTER, samples(), [0.5, NAN, -0.25, NAN, NAN])
    table = read_parquet(f"{tmp_path}/a.parquet").append_column("area", pa.array(range(5)))
    assert publish_table(f"{tmp_path}/b.parquet", FOOTER, table) == footer
    assert read_table(f"{tmp_path}/b.parquet", ["area"])[0]["area"].to_pylist() == list(range(5))
    assert read_footer(f"{tmp_path}/b.parquet") == footer


def test_tables_lie_as_their_shards_do() -> None:
    assert table_url("s3://b/scores/x", shard_named("shards/00000012")) == "s3://b/scores/x/shards/00000012.parquet"
    assert table_url("out/", shard_named("1/a.b")) == "out/1/a.b.parquet"


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"shard": "b.tar"}, "shard is 'a.tar', not 'b.tar'"),
        ({"size": 5}, "size is 5000, not 5"),
        ({"etag": "f"}, "etag is 'e', not 'f'"),
        ({"score_id": "y"}, "score_id is 'clip-x', not 'y'"),
        ({"method": "dfn"}, "method is 'clip', not 'dfn'"),
        ({"weights_hash": "v"}, "weights_hash is 'w', not 'v'"),
        ({"preprocess_hash": "q"}, "preprocess_hash is 'p', not 'q'"),
        ({"schema_version": 0}, f"schema_version is {SCHEMA_VERSION}, not 0"),
        ({"settings": {"seed": 1}}, "seed is 0, not 1"),
        ({"settings": {"seed": 0, "cap": 0.5}}, "cap is None, not 0.5"),
        ({"model": "y"}, ""),
        ({"precision": "bfloat16", "seconds": 5.0, "finished": "2020-01-01T00:00:00+00:00"}, ""),
        ({"code_version": "0.0.0"}, ""),
        ({"rows": 7, "ok": 3, "bad": {"x": 4}}, ""),
        ({"etag": "f", "weights_hash": "v"}, "etag is 'e', not 'f'"),
    ],
)
def test_what_makes_two_tables_other_work(tmp_path: Path, change: dict[str, object], difference: str) -> None:
    other = replace(FOOTER, **change)  # type: ignore[arg-type]
    assert FOOTER.difference(other) == difference
    url = f"{tmp_path}/a.parquet"
    written = write_table(url, FOOTER, samples(), [0.0] * 5)
    table = rows_table(samples(), [1.0] * 5)
    assert not is_done(url, other, overwrite=True)
    if not difference:
        assert is_done(url, other, overwrite=False)
        assert publish_table(url, other, table) == written
        return
    for refused in (lambda: is_done(url, other, overwrite=False), lambda: publish_table(url, other, table)):
        with pytest.raises(ConfigError) as caught:
            refused()
        assert str(caught.value) == f"{url} holds other work: {difference}; use another --output-dir, or --overwrite"


@pytest.mark.parametrize("where", ["local", "s3"])
def test_a_table_that_another_worker_published_meanwhile_stays(request: pytest.FixtureRequest, where: str) -> None:
    url = f"{request.getfixturevalue('s3_url' if where == 's3' else 'tmp_path')}/a.parquet"
    first = publish_table(url, FOOTER.after(1), rows_table(samples(), [0.0] * 5))
    assert (first.seconds, first.finished[-6:]) == (1, "+00:00")
    before = storage.read_bytes(url)
    assert publish_table(url, FOOTER.after(2), rows_table(samples(), [1.0] * 5)) == first
    assert storage.read_bytes(url) == before
    replaced = publish_table(url, FOOTER.after(3), rows_table(samples(), [1.0] * 5), overwrite=True)
    assert read_footer(url) == replaced
    assert read_table(url, ["score"])[0]["score"].to_pylist() == [1.0] * 5


def test_a_table_that_is_not_there_is_not_done(tmp_path: Path) -> None:
    assert not is_done(f"{tmp_path}/a.parquet", FOOTER, overwrite=False)


@pytest.mark.parametrize("footer", [None, b"", b"[]", b"{", b'{"shard": "a"}', b'{"another": 1}', b"5"])
def test_somebody_elses_parquet_is_refused(tmp_path: Path, footer: bytes | None) -> None:
    url = f"{tmp_path}/a.parquet"
    table = pa.table({"score": [1.0]}).replace_schema_metadata(None if footer is None else {b"datascaler": footer})
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    storage.publish_bytes(url, buffer.getvalue())
    for read in (
        lambda: read_footer(url),
        lambda: read_table(url, ["score"]),
        lambda: is_done(url, FOOTER, overwrite=False),
    ):
        with pytest.raises(ConfigError, match=r"a\.parquet is not a score table of this version"):
            read()


def test_damaged_parquet_is_a_message_not_a_traceback(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_table(str(path), FOOTER, samples(), [0.0] * 5)
    whole = path.read_bytes()
    for content in (b"", b"PAR1", b"text, not parquet at all", whole[:-1], whole[len(whole) // 2 :]):
        path.write_bytes(content)
        for read in (lambda: read_footer(str(path)), lambda: read_parquet(str(path))):
            with pytest.raises(ConfigError, match=r"a\.parquet is not a readable parquet file"):
                read()
    flipped = bytearray(whole)
    flipped[4:60] = bytes(56)
    path.write_bytes(flipped)
    with pytest.raises(ConfigError, match=r"a\.parquet is not a readable parquet file"):
        read_parquet(str(path))


def test_a_table_of_a_version_without_checksums_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_table(str(path), FOOTER, samples(), [0.0] * 5)
    table, footer = read_table(str(path), ["uid_high", "score"])
    old = pq.read_table(path).replace_schema_metadata({"datascaler": json.dumps(asdict(footer))})
    pq.write_table(old, path)
    again, same = read_table(str(path), ["uid_high", "score"])
    assert (again.to_pydict(), same) == (table.to_pydict(), footer)
