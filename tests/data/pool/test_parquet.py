"""Parquet files: ours carry checksums that others can compare too, and strange columns of others are one line."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datascaler import storage
from datascaler.data.make.captions import CaptionTable
from datascaler.data.plan.shard_rows import rows_of_log
from datascaler.data.pool.parquet import encode_parquet, read_parquet
from datascaler.data.pool.shards import Shard
from datascaler.data.subset.subset import read_subset
from datascaler.data.tables.datacomp_metadata import read_metadata
from datascaler.data.tables.score_table import ROW_SCHEMA, index_footer, publish_table, read_table
from datascaler.errors import BadInputError, ConfigError, DamagedError, UnusableLogError
from datascaler.score.captions.rows import read_caption_rows
from datascaler.score.captions.score_captions import metadata_score_table
from tests.limits import within

ROWS = 3


def test_ours_have_page_checksums_and_one_of_the_whole(tmp_path: Path) -> None:
    """pyarrow, which knows nothing of ours, finds a changed page by the standard's own checksum."""
    table = pa.table({"a": pa.array(range(10_000), pa.int64())})
    path = tmp_path / "a.parquet"
    path.write_bytes(encode_parquet(table, compression=None, use_dictionary=False))
    assert read_parquet(str(path)).equals(table)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert not pq.ParquetFile(path).read().equals(table)
    with pytest.raises(OSError, match="CRC"):
        pq.ParquetFile(path, page_checksum_verification=True).read()
    with pytest.raises(DamagedError, match=r"a\.parquet is not a readable parquet file \(damaged"):
        read_parquet(str(path))


def test_a_foreign_file_with_page_checksums_is_compared_too(tmp_path: Path) -> None:
    path = tmp_path / "theirs.parquet"
    table = pa.table({"a": pa.array(range(10_000), pa.int64())})
    pq.write_table(table, path, compression=None, use_dictionary=False, write_page_checksum=True)
    assert read_parquet(str(path)).equals(table)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"theirs\.parquet is not a readable parquet file"):
        read_parquet(str(path))


ODD = {
    "numbers": pa.array([1, 2, 3]),
    "nested": pa.array([{"uid": "a"}, {"uid": "b"}, None]),
    "lists": pa.array([["a"], [], None]),
    "times": pa.array([1, 2, 3], pa.timestamp("us")),
    "nulls": pa.nulls(ROWS),
    "bytes": pa.array([b"\xff", b"", None]),
    "words": pa.array(["a", None, "nan"]),
    "codes": pa.array(["a", "b", "a"]).dictionary_encode(),
}
NAMES = ("uid", "text", "original_width", "original_height", "clip_b32_similarity_score", "status", "file", "caption")
READERS: dict[str, Callable[[Shard], object]] = {
    "metadata": lambda shard: read_metadata(shard, ["text"]),
    "captions of metadata": read_caption_rows,
    "shipped scores": lambda shard: metadata_score_table(shard, "b32"),
    "a log": lambda shard: rows_of_log(Shard(shard.url.replace(".parquet", ".tar"), "x.tar", 10**6, "")),
    "a subset": lambda shard: read_subset(shard.url),
    "a score table": lambda shard: read_table(shard.url, ["uid_high", "status"]),
    "pictures and captions": lambda shard: CaptionTable(shard.url),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("odd", [*ODD, "twice", "nameless"])
def test_columns_of_another_kind_are_one_line_or_read(odd: str, reader: str, tmp_path: Path) -> None:
    if odd == "twice":
        table = pa.Table.from_arrays([ODD["words"]] * 2 * len(NAMES), names=[*NAMES, *NAMES])
    elif odd == "nameless":
        table = pa.Table.from_arrays([ODD["words"]], names=[""])
    else:
        table = pa.table(dict.fromkeys(NAMES, ODD[odd]))
    path = tmp_path / "x.parquet"
    pq.write_table(table, path)
    info = storage.stat(str(path))
    with suppress(ConfigError, BadInputError, UnusableLogError):
        READERS[reader](Shard(info.url, "x.parquet", info.size, info.etag))


def test_a_score_table_with_a_column_of_another_type_is_refused(tmp_path: Path) -> None:
    shard = Shard("a.tar", "a.tar", 1, "")
    schema = ROW_SCHEMA.set(0, pa.field("uid_high", pa.int64()))
    columns = {each.name: pa.array(["ok"] if each.type == pa.string() else [1], each.type) for each in schema}
    publish_table(f"{tmp_path}/a.parquet", index_footer(shard), pa.table(columns, schema=schema))
    with pytest.raises(ConfigError, match=r"a\.parquet is not a score table .*uid_high is int64, not uint64"):
        read_table(f"{tmp_path}/a.parquet", ["uid_high"])


def nested(levels: int) -> bytes:
    """A file without rows, whose one column lies in so many groups of one another: its footer, by hand."""

    def element(name: bytes, *, children: int | None) -> bytes:
        fields = b"\x48" + bytes([len(name)]) + name  # the fourth field is the name, and the fifth counts children
        return fields + (b"\x15" + bytes([2 * children]) if children is not None else b"") + b"\0"

    elements = [element(b"a", children=1)] * levels
    leaf = b"\x15\2\x38\1x\0"
    number = len(elements) + 1
    size = bytes([0xFC, number & 127 | 128, number >> 7 & 127 | 128, number >> 14])
    footer = b"\x15\2\x19" + size + b"".join(elements) + leaf + b"\x16\0\x19\x0c\0"
    return b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1"


def rows_of_nothing() -> bytes:
    """40 million rows of eight bytes in some 170 KB."""
    sink, rows = pa.BufferOutputStream(), pa.table({"uid": pa.array(np.zeros(1 << 20, np.int64))})
    with pq.ParquetWriter(sink, rows.schema, compression="zstd") as writer:
        for _ in range(40):
            writer.write_table(rows)
    return bytes(sink.getvalue())


def without_columns() -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({}), sink)
    return bytes(sink.getvalue())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (rows_of_nothing(), "it announces 41,943,040 rows"),
        (nested(60_000), "not a readable parquet file"),
        (without_columns(), "uid"),
        (b"PARE" + bytes(40) + (20).to_bytes(4, "little") + b"PARE", "not a readable parquet file"),
        (b"PAR1" + b"\xff" * 40 + (1 << 31).to_bytes(4, "little") + b"PAR1", "not a readable parquet file"),
    ],
    ids=["rows", "groups in groups", "no columns", "encrypted", "a footer of gigabytes"],
)
def test_a_file_that_was_made_to_do_harm_is_refused(content: bytes, reason: str, tmp_path: Path) -> None:
    path = str(tmp_path / "a.parquet")
    storage.publish_bytes(path, content)
    for read in (lambda: read_parquet(path, ["uid"]), lambda: read_subset(path)):
        with within(), pytest.raises(ConfigError, match=r"a\.parquet") as caught:
            read()
        assert reason in str(caught.value)
