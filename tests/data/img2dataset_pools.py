"""Pools as img2dataset leaves them (CC3M, CC12M, LAION, COYO), without a uid, and what people's machines make of them.

Written by Python's tarfile, after img2dataset's public description of its output and DataComp's of the same layout.
"""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from datascaler.demo.pairs import DrawnPair, draw_clean

APPLE_DOUBLE = bytes.fromhex("0005160700020000") + bytes(155)
PER_SHARD = 10_000
"""What the keys count in, however few of the rows were downloaded."""


def urls_and_pairs(samples: int) -> list[tuple[str, DrawnPair]]:
    return [(f"https://example.org/{n}.jpg?size=é", pair) for n, pair in enumerate(draw_clean(samples, seed=0))]


def expected_uids(samples: int) -> list[str]:
    return [hashlib.md5((pair.caption + url).encode()).hexdigest() for url, pair in urls_and_pairs(samples)]


def write_img2dataset(folder: Path, samples: int = 24, shards: int = 2, *, digits: int = 5) -> Path:
    """`00000.tar`, its log `00000.parquet` and `00000_stats.json`, and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = urls_and_pairs(samples)
    each = -(-samples // shards)
    for shard in range(shards):
        records = [_record(shard, row, *of) for row, of in enumerate(rows[shard * each : (shard + 1) * each], 1)]
        members = [
            (f"{record['key']}.{suffix}", content)
            for record, (_, pair) in zip(records, rows[shard * each :], strict=False)
            for suffix, content in (
                ("jpg", pair.image_bytes),
                ("json", json.dumps(record, indent=4).encode()),
                ("txt", pair.caption.encode()),
            )
        ]
        write_tar(folder / f"{shard:0{digits}d}.tar", members)
        failed = {**_record(shard, 0, *rows[0]), "status": "failed_to_download", "error_message": "HTTP Error 404"}
        pq.write_table(pa.Table.from_pylist([failed, *records]), folder / f"{shard:0{digits}d}.parquet")
        stats = {"count": len(records) + 1, "successes": len(records), "failed_to_download": 1, "failed_to_resize": 0}
        (folder / f"{shard:0{digits}d}_stats.json").write_text(json.dumps(stats))
    return folder


def write_tar(path: Path, members: Iterable[tuple[str, bytes]], format_: int = tarfile.GNU_FORMAT) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=format_) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.uname, info.gname = len(content), 0o444, "bigdata", "bigdata"
            tar.addfile(info, io.BytesIO(content))


def read_tar(path: Path) -> list[tuple[str, bytes]]:
    with tarfile.open(path) as tar:
        found = [(info.name, tar.extractfile(info)) for info in tar if info.isreg()]
        return [(name, file.read()) for name, file in found if file]


def as_of_macos(pool: Path, folder: Path) -> Path:
    """Unpacked and packed again on a Mac: `./`, a file of attributes before each, the folder's own files, pax."""
    for path in sorted(pool.glob("*.tar")):
        members: list[tuple[str, bytes]] = [("./._.", APPLE_DOUBLE), ("./.DS_Store", b"\0\0\0\1Bud1")]
        for name, content in read_tar(path):
            members += [(f"./._{name}", APPLE_DOUBLE), (f"./{name}", content)]
        write_tar(folder / path.name, members, tarfile.PAX_FORMAT)
        (folder / f"._{path.name}").write_bytes(APPLE_DOUBLE)
    (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    return folder


def as_links(pool: Path, folder: Path) -> Path:
    """As huggingface_hub keeps what it fetched: blobs by digest, links below snapshots/REVISION."""
    snapshot = folder / "snapshots/4f5c0a"
    snapshot.mkdir(parents=True)
    (folder / "blobs").mkdir()
    for path in sorted(pool.iterdir()):
        blob = folder / "blobs" / hashlib.sha256(path.read_bytes()).hexdigest()
        blob.write_bytes(path.read_bytes())
        (snapshot / path.name).symlink_to(os.path.relpath(blob, snapshot))
    return snapshot


def in_folders(pool: Path, folder: Path) -> Path:
    """A folder for each shard, as part-wise downloads leave them, two deep."""
    for number, path in enumerate(sorted(pool.glob("*.tar"))):
        target = folder / f"part{number}" / "images" / "00000.tar"
        target.parent.mkdir(parents=True)
        target.write_bytes(path.read_bytes())
    return folder


def _record(shard: int, row: int, url: str, pair: DrawnPair) -> dict[str, Any]:
    return {
        "caption": pair.caption,
        "url": url,
        "key": f"{shard * PER_SHARD + row:09d}",
        "status": "success",
        "error_message": None,
        "width": 48,
        "height": 48,
        "original_width": 640,
        "original_height": 480,
        "exif": "{}",
        "sha256": hashlib.sha256(pair.image_bytes).hexdigest(),
    }
