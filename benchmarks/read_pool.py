"""A pool for the benchmark of reading: DataComp's layout, pictures with the spectrum of photographs."""

import hashlib
import io
import json
import random
import tarfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datascaler import storage
from datascaler.data.plan.compile_plan import build_plan
from datascaler.data.plan.plan_file import write_plan
from datascaler.data.pool.shards import find_shards
from datascaler.data.pool.uids import sort_order, uid_array
from datascaler.data.tables.index_tables import index_pool
from datascaler.data.tables.score_table import read_table
from tests.natural import encoded, natural_picture

SIZES = [(512, 384), (512, 341), (384, 512), (512, 512), (512, 288), (512, 400), (341, 512)]
"""Shapes of web pictures whose longer side was shrunk to 512."""
PICTURES = 210
"""Distinct ones; they come again and again, as a decoder does not mind."""
ROWS = 2_000
"""Of each shard."""


def write_pool(folder: Path, shards: int) -> None:
    pictures = [_picture(number) for number in range(PICTURES)]
    folder.mkdir(parents=True)
    for shard in range(shards):
        rows = range(shard * ROWS, (shard + 1) * ROWS)
        _write_tar(folder / f"{shard:08d}.tar", ((f"{shard:08d}{row % ROWS:04d}", row, pictures) for row in rows))


def write_resharded(folder: Path, pool: Path, kept: set[str]) -> None:
    """A copy of the pool's shards with nothing but the samples kept."""
    folder.mkdir()
    for shard in sorted(pool.glob("*.tar")):
        with tarfile.open(shard) as source, tarfile.open(folder / shard.name, "w", format=tarfile.USTAR_FORMAT) as copy:
            for member in source:
                if uid_of_row(_row(member.name)) in kept:
                    copy.addfile(member, source.extractfile(member))


def write_planned(pool: str, plan: str, tables: str, uids: Iterable[str] | None) -> None:
    """The plan of a subset of a pool (None: all of it), by way of an index of the pool."""
    shards = find_shards(pool)
    index_pool(shards, tables)
    pairs: NDArray[np.void] | None = None
    if uids is not None:
        unsorted = uid_array(sorted(uids))
        pairs = unsorted[sort_order(unsorted)]
    write_plan(plan, build_plan(shards, tables, pairs)[0])


def write_ranges(path: Path, tables: str, kept: set[str]) -> None:
    """Shard number, offset and length of each kept row, [k, 3], by the index of `write_planned`."""
    ranges: list[tuple[int, int, int]] = []
    infos = storage.list_files(tables, ".parquet", recursive=True)
    for shard, url in enumerate(sorted(info.url for info in infos)):
        table, _ = read_table(url, ["uid_high", "uid_low", "offset", "length"])
        ranges += [
            (shard, row["offset"], row["length"])
            for row in table.to_pylist()
            if f"{row['uid_high']:016x}{row['uid_low']:016x}" in kept
        ]
    np.save(path, np.array(ranges))


def random_uids(rows: int, fraction: float) -> set[str]:
    """Of the given fraction of the pool's rows."""
    return set(map(uid_of_row, random_rows(rows, fraction)))


def random_rows(rows: int, fraction: float) -> list[int]:
    return random.Random(0).sample(range(rows), round(fraction * rows))


def uid_of_row(row: int) -> str:
    return hashlib.md5(f"{row}".encode()).hexdigest()


def _picture(number: int) -> bytes:
    """A JPEG of about 41 KB. A sample of DataComp takes 35 KB, for some of its pictures are smaller."""
    picture = natural_picture(*SIZES[number % len(SIZES)], seed=number, slope=1.9)
    return encoded(picture, "JPEG", quality=95)


def _row(member_name: str) -> int:
    shard, within = int(member_name[:8]), int(member_name[8:12])
    return shard * ROWS + within


def _write_tar(path: Path, rows: Iterable[tuple[str, int, list[bytes]]]) -> None:
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for key, row, pictures in rows:
            caption = f"picture {row} of a place by the sea, seen from the road above it in the evening"
            members = {"jpg": pictures[row % PICTURES], "json": _record(key, row, caption), "txt": caption.encode()}
            for suffix, data in members.items():
                member = tarfile.TarInfo(f"{key}.{suffix}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


def _record(key: str, row: int, caption: str) -> bytes:
    """The json that img2dataset writes."""
    exif = {f"EXIF Tag{number}": f"a value of {number}" for number in range(8)}
    record = {
        "uid": uid_of_row(row),
        "face_bboxes": [[0.11, 0.22, 0.33, 0.44]],
        "caption": caption,
        "url": f"https://example.org/pictures/{row}/as-they-were-uploaded.jpg",
        "key": key,
        "status": "success",
        "error_message": None,
        "width": 512,
        "height": 384,
        "original_width": 1600,
        "original_height": 1200,
        "exif": json.dumps(exif),
        "sha256": hashlib.sha256(f"{row}".encode()).hexdigest(),
    }
    return json.dumps(record, indent=4).encode()
