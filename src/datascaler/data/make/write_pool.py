"""Write a pool in DataComp's layout, shard after shard; a finished shard is known by its stats.json.

    OUT/shards/00000000.tar              the samples
    OUT/shards/00000000.parquet          every row, failed ones too
    OUT/shards/00000000_stats.json       counts, and `inputs`: a digest of what the shard was made from. Written last.
    OUT/metadata/NAME.parquet            one line a stored sample, of all shards. Written when all shards are there.

A rerun skips a shard whose stats.json carries the same digest, and refuses one that carries another.
"""

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from datascaler import storage
from datascaler.data.pool.parquet import encode_parquet, read_parquet
from datascaler.data.pool.pool_rows import (
    FAILED_TO_DOWNLOAD,
    FAILED_TO_RESIZE,
    SUCCESS,
    PoolRow,
    PoolSample,
    stored_row,
)
from datascaler.data.pool.write_tar import TarWriter
from datascaler.errors import BadInputError, ConfigError
from datascaler.progress import progress

DEFAULT_SAMPLES_PER_SHARD = 10_000

_LOG_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("uid", "caption", "url", "key", "status", "error_message")]
    + [(name, pa.int64()) for name in ("width", "height", "original_width", "original_height")]
    + [("exif", pa.string()), ("sha256", pa.string())]
)
_METADATA_COLUMNS = {
    "uid": "uid",
    "url": "url",
    "text": "caption",
    "original_width": "original_width",
    "original_height": "original_height",
    "sha256": "sha256",
}


@dataclass(frozen=True, slots=True)
class PoolWritten:
    """What a pool holds after it was made, finished earlier or now."""

    output_dir: str
    shards: int
    shards_skipped: int
    """Finished by an earlier run from the same inputs."""
    rows: int
    samples: int
    failed_to_download: int
    failed_to_resize: int
    failures: dict[str, int]
    """Reason -> rows."""
    failure_examples: dict[str, str]
    """Reason -> what the captions table says of the first such row: where its image is from, and all that was wrong."""
    metadata: str


@dataclass(frozen=True, slots=True)
class ShardJob:
    """What one shard is to be made from; `rows` is called only if the shard isn't there yet."""

    inputs: str
    """Digest of everything that decides the shard's bytes."""
    count: int
    rows: Callable[[], Iterable[PoolRow]]


def write_pool(
    output_dir: str,
    samples: Iterable[PoolSample],
    samples_per_shard: int = DEFAULT_SAMPLES_PER_SHARD,
    *,
    max_side: int | None = None,
    check_images: bool = True,
    name: str = "pool",
    overwrite: bool = False,
) -> PoolWritten:
    """Write samples in their order. One shard's samples are held at a time.

    Without `check_images` pictures that do not decode are stored like the others (`max_side` is then not applied).
    """
    require_shard_size(samples_per_shard)

    def rows(batch: list[PoolSample]) -> Iterable[PoolRow]:
        return (stored_row(sample, max_side, check_image=check_images) for sample in batch)

    def jobs() -> Iterator[ShardJob]:
        iterator = iter(samples)
        while batch := list(islice(iterator, samples_per_shard)):
            inputs = digest([_identity(sample) for sample in batch], max_side, check_images)
            yield ShardJob(inputs, len(batch), partial(rows, batch))

    return write_shards(output_dir, jobs(), samples_per_shard, name=name, overwrite=overwrite)


def write_shards(
    output_dir: str,
    jobs: Iterable[ShardJob],
    samples_per_shard: int,
    *,
    name: str,
    overwrite: bool,
    total: int = 0,
) -> PoolWritten:
    """`total` rows, where known, give the progress bar its end."""
    storage.check_writable(output_dir)
    folder = storage.join(output_dir, "shards")
    present = {storage.basename(info.url) for info in storage.list_files(folder)}
    stats: list[dict[str, Any]] = []
    skipped = 0
    with progress(total, "pool") as bar:
        for number, job in enumerate(jobs):
            found = _finished(folder, number, present, job.inputs, overwrite)
            if found:
                skipped += 1
                bar.update(job.count)
            stats.append(found or _write_shard(folder, number, job, samples_per_shard, bar.update))
    if not stats:
        raise ConfigError(f"there are no samples to write to {output_dir}")
    _refuse_leftovers(folder, present, len(stats), overwrite)
    metadata = storage.join(output_dir, "metadata", f"{name}.parquet")
    if skipped < len(stats) or not storage.exists(metadata):
        _write_metadata(metadata, folder, len(stats))
    failures: Counter[str] = Counter()
    for shard in stats:
        failures.update({reason: rows for reason, rows in shard["status_dict"].items() if reason != SUCCESS})
    written = PoolWritten(
        output_dir=output_dir,
        shards=len(stats),
        shards_skipped=skipped,
        rows=sum(shard["count"] for shard in stats),
        samples=sum(shard["successes"] for shard in stats),
        failed_to_download=sum(shard[FAILED_TO_DOWNLOAD] for shard in stats),
        failed_to_resize=sum(shard[FAILED_TO_RESIZE] for shard in stats),
        failures=dict(failures),
        failure_examples={reason: _example_of(reason, folder, stats) for reason in failures},
        metadata=metadata,
    )
    if not written.samples:
        examples = "; ".join(
            f"{reason}: {rows:,}, as {written.failure_examples[reason]}" for reason, rows in failures.items()
        )
        raise BadInputError(f"0 of {written.rows:,} rows could be stored ({examples})").after(written)
    return written


def digest(*parts: Any) -> str:
    return sha256(json.dumps(parts, default=str).encode()).hexdigest()


def require_shard_size(samples_per_shard: int) -> None:
    if samples_per_shard < 1:
        raise ConfigError(f"samples-per-shard must be at least 1, got {samples_per_shard}")


def _identity(sample: PoolSample) -> list[Any]:
    image = sha256(sample.image).hexdigest()
    return [image, sample.suffix, sample.caption, sample.url, sample.uid, dict(sample.extra)]


def _write_shard(
    folder: str, number: int, job: ShardJob, samples_per_shard: int, on_row: Callable[[], object]
) -> dict[str, Any]:
    """Tar, log, stats: the stats make the shard finished."""
    start = time.time()
    # DataComp's keys: eight digits of shard, four of row; more where a shard can hold more.
    row_digits = max(4, len(str(samples_per_shard - 1)))
    statuses: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    log: list[dict[str, Any]] = []
    with storage.publish(storage.join(folder, f"{number:08d}.tar")) as file, TarWriter(file) as tar:
        for row_number, row in enumerate(job.rows()):
            record = row.record | {"key": f"{number:08d}{row_number:0{row_digits}d}"}
            statuses[record["status"]] += 1
            reasons[(record["error_message"] or SUCCESS).partition(":")[0]] += 1
            log.append(record)
            if record["status"] == SUCCESS:
                members = {row.suffix: row.image, "txt": record["caption"].encode()}
                tar.add_sample(record["key"], members | {"json": json.dumps(record, indent=4).encode()})
            on_row()
    table = pa.Table.from_pylist(log, schema=_LOG_SCHEMA)
    storage.publish_bytes(storage.join(folder, f"{number:08d}.parquet"), encode_parquet(table))
    end = time.time()
    stats = {
        "count": len(log),
        "successes": statuses[SUCCESS],
        FAILED_TO_DOWNLOAD: statuses[FAILED_TO_DOWNLOAD],
        FAILED_TO_RESIZE: statuses[FAILED_TO_RESIZE],
        "duration": end - start,
        "start_time": start,
        "end_time": end,
        "status_dict": dict(reasons),
        "inputs": job.inputs,
    }
    storage.publish_json(storage.join(folder, f"{number:08d}_stats.json"), stats)
    return stats


def _finished(folder: str, number: int, present: set[str], inputs: str, overwrite: bool) -> dict[str, Any] | None:
    """The stats of a shard that is already there, made from the same inputs."""
    name = f"{number:08d}_stats.json"
    if overwrite or name not in present:
        return None
    stats = storage.read_json(storage.join(folder, name))
    if not isinstance(stats, dict) or stats.get("inputs") != inputs:
        raise ConfigError(
            f"{storage.join(folder, name)} belongs to a shard made from other inputs or settings; "
            f"choose a new --output-dir, or add --overwrite"
        )
    return stats


def _refuse_leftovers(folder: str, present: set[str], shards: int, overwrite: bool) -> None:
    """Shards beyond the last one belong to another pool; readers would take them for part of this one."""
    leftovers = [name for name in sorted(present) if (match := re.match(r"\d{8,}", name)) and int(match[0]) >= shards]
    if leftovers and not overwrite:
        raise ConfigError(
            f"{folder} holds {leftovers[0]}, but these inputs end with shard {shards - 1:08d}; "
            f"choose a new --output-dir, or add --overwrite to remove what is left over"
        )
    for name in leftovers:
        storage.remove(storage.join(folder, name))


def _example_of(reason: str, folder: str, stats: list[dict[str, Any]]) -> str:
    """The image of the first row that failed for this reason, and the row's own words for it."""
    number = next(number for number, shard in enumerate(stats) if reason in shard["status_dict"])
    log = read_parquet(storage.join(folder, f"{number:08d}.parquet"), ["url", "error_message"])
    rows = zip(*log.to_pydict().values(), strict=True)
    return next((f"{url} ({message})" for url, message in rows if (message or "").partition(":")[0] == reason), "")


def _write_metadata(url: str, folder: str, shards: int) -> None:
    """DataComp's index of the pool, of the samples that are in its tars, one row group a shard."""
    schema = pa.schema([(column, _LOG_SCHEMA.field(source).type) for column, source in _METADATA_COLUMNS.items()])
    with storage.publish(url) as file, closing(pq.ParquetWriter(file, schema, write_page_checksum=True)) as writer:
        for number in range(shards):
            log = read_parquet(storage.join(folder, f"{number:08d}.parquet"), ["status", *_METADATA_COLUMNS.values()])
            stored = log.filter(pc.equal(log["status"], SUCCESS))
            writer.write_table(stored.select(list(_METADATA_COLUMNS.values())).rename_columns(list(_METADATA_COLUMNS)))
