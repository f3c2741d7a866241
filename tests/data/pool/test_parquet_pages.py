"""What a file's pages would take is told by their headers; values that repeat are read a few rows at a time."""

import io
import random
from collections.abc import Callable
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datascaler import storage
from datascaler.data.make.captions import CaptionTable
from datascaler.data.pool.parquet import decode_parquet, read_parquet
from datascaler.data.pool.parquet_pages import repeated_row_bytes
from datascaler.data.subset.subset import read_subset
from datascaler.errors import ConfigError
from datascaler.evaluate.read_result import read_answers
from datascaler.evaluate.tasks import samples_url
from tests.limits import within

LONG = "a" * (1 << 20)


@cache
def written_bomb(made: Callable[[], bytes]) -> bytes:
    return made()


def written(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **{"compression": "zstd", "write_statistics": False, **options})
    return sink.getvalue()


def one_value_often() -> bytes:
    """A dictionary of one value of a megabyte, for 100 GB of rows."""
    codes = pa.DictionaryArray.from_arrays(pa.array(np.zeros(100_000, np.int32)), pa.array([LONG]))
    return written(pa.table({"uid": codes}), dictionary_pagesize_limit=1 << 22, store_schema=False)


def one_start_often() -> bytes:
    """Each value begins as the one before it does, which is written as a number."""
    values = pa.array([f"{LONG}{row}" for row in range(150)])
    encoding = {"uid": "DELTA_BYTE_ARRAY"}
    return written(pa.table({"uid": values}), use_dictionary=False, column_encoding=encoding)


def one_long_page() -> bytes:
    """A page of 200 MB, and a footer that says nothing of it."""
    values = pa.array([LONG * 130])
    return written(pa.table({"uid": values, "file": ["a"], "caption": ["a"]}), use_dictionary=False)


def one_long_list() -> bytes:
    values = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(35_000_000, np.int8)), 35_000_000)
    return written(pa.table({"uid": values, "file": ["a"], "caption": ["a"]}))


@pytest.mark.parametrize("made", [one_value_often, one_start_often, one_long_page, one_long_list])
def test_a_bomb_is_refused_before_it_goes_off(made: Callable[[], bytes], tmp_path: Path) -> None:
    path = f"{tmp_path}/a.parquet"
    storage.publish_bytes(path, written_bomb(made))
    for read in (lambda: read_parquet(path, ["uid"]), lambda: read_parquet(path), lambda: read_subset(path)):
        with within(), pytest.raises(ConfigError, match=r"a\.parquet.*not a readable parquet file \(its"):
            read()


@pytest.mark.parametrize("made", [one_long_page, one_long_list])
def test_captions_and_answers_are_no_way_around_it(made: Callable[[], bytes], tmp_path: Path) -> None:
    storage.publish_bytes(samples_url(str(tmp_path), "a"), written_bomb(made))
    storage.publish_bytes(f"{tmp_path}/captions.parquet", written_bomb(made))
    with within(), pytest.raises(ConfigError, match="its pages hold more than"):
        CaptionTable(f"{tmp_path}/captions.parquet")
    with within(), pytest.raises(ConfigError, match="its pages hold more than"):
        read_answers(str(tmp_path), "a")


def test_captions_that_repeat_one_value_are_read_a_few_at_a_time(tmp_path: Path) -> None:
    codes = pa.DictionaryArray.from_arrays(pa.array(np.zeros(600, np.int32)), pa.array([LONG]))
    table = pa.table({"file": [f"{row}.jpg" for row in range(600)], "caption": codes})
    storage.publish_bytes(f"{tmp_path}/a.parquet", written(table, dictionary_pagesize_limit=1 << 22))
    with within():
        assert sum(len(row.caption or "") for row in CaptionTable(f"{tmp_path}/a.parquet")) == 600 << 20


VERSIONS = list(product(["none", "snappy", "zstd"], ["1.0", "2.0"], ["dictionary", "plain", "delta"]))


@pytest.mark.parametrize(("compression", "version", "coding"), VERSIONS)
def test_sound_files_are_read_as_they_are(compression: str, version: str, coding: str) -> None:
    """Drawn at random; read in steps where values may repeat, and equal to what was written."""
    generator = random.Random(f"{compression}{version}{coding}")
    rows = generator.randint(0, 3000)
    table = pa.table(
        {
            "text": [generator.choice(["", "é" * generator.randint(0, 50), None, LONG[:5000]]) for _ in range(rows)],
            "list": [[str(generator.random())] * generator.randint(0, 4) for _ in range(rows)],
            "group": pa.array([{"x": 1.5, "y": None}] * rows, pa.struct({"x": pa.float64(), "y": pa.string()})),
            "flag": pa.array([generator.random() < 0.5 for _ in range(rows)], pa.bool_()),
        }
    )
    content = written(
        table,
        compression=compression,
        data_page_version=version,
        use_dictionary=coding == "dictionary",
        column_encoding={"text": "DELTA_BYTE_ARRAY"} if coding == "delta" else None,
        row_group_size=1000,
        data_page_size=2000,
        write_statistics=generator.random() < 0.5,
        write_page_checksum=generator.random() < 0.5,
    )
    assert decode_parquet(content, "a").equals(table)
    source = io.BytesIO(content)
    row_bytes = repeated_row_bytes(pq.ParquetFile(source), source, ["text"], (), 1 << 30)
    assert (row_bytes == 0) == (coding == "plain" or not rows)
    assert repeated_row_bytes(pq.ParquetFile(source), source, ["text"], ["text"], 1 << 30) == 0


def test_damaged_headers_are_refused_or_read() -> None:
    """Headers are read by ours and by pyarrow's reader: no damage ends in another error than a refusal."""
    table = pa.table({"uid": [f"{row:032x}" for row in range(500)]})
    sound = written(table, data_page_size=500, write_page_checksum=True)
    generator = random.Random(0)
    ends = []
    for _ in range(300):
        content = bytearray(sound)
        content[generator.randrange(4, len(content) // 3)] = generator.getrandbits(8)
        ends.append(rows_or_reason(bytes(content)))
    assert {end for end in ends if isinstance(end, int)} == {500}
    reasons = [end for end in ends if isinstance(end, str)]
    assert len(reasons) > 100
    assert all("a is not a readable parquet file" in reason for reason in reasons)


def rows_or_reason(content: bytes) -> int | str:
    try:
        return len(decode_parquet(content, "a"))
    except ConfigError as error:
        return str(error)
