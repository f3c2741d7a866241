"""A folder of images and a captions table -> a pool in DataComp's layout."""

import posixpath
from collections.abc import Iterator
from functools import partial
from itertools import count, islice

from datascaler import storage
from datascaler.data.make.captions import CaptionColumns, CaptionRow, CaptionTable
from datascaler.data.make.write_pool import (
    DEFAULT_SAMPLES_PER_SHARD,
    PoolWritten,
    ShardJob,
    digest,
    require_shard_size,
    write_shards,
)
from datascaler.data.pool.pool_rows import (
    FAILED_TO_DOWNLOAD,
    PoolRow,
    PoolSample,
    caption_fault,
    failed_row,
    image_suffix,
    stored_row,
    uid_fault,
)
from datascaler.errors import ConfigError, NotFoundError
from datascaler.tools.ordered_map import in_order


def make_pool(
    images_dir: str,
    captions: str,
    output_dir: str,
    *,
    columns: CaptionColumns | None = None,
    delimiter: str | None = None,
    samples_per_shard: int = DEFAULT_SAMPLES_PER_SHARD,
    max_side: int | None = None,
    name: str = "pool",
    num_workers: int = 8,
    overwrite: bool = False,
) -> PoolWritten:
    """Make the pool, or the shards of it that an earlier run left undone.

    A finished shard is recognised by its rows in the captions table and the size and etag of each of their images.
    Rows that can't be stored are counted, with their reason, in the shard's parquet log.
    """
    require_shard_size(samples_per_shard)
    if max_side is not None and max_side < 1:
        raise ConfigError(f"max-side must be at least 1, got {max_side}")
    if num_workers < 1:
        raise ConfigError(f"num-workers must be at least 1, got {num_workers}")
    table = CaptionTable(captions, columns, delimiter)
    images = list_images(images_dir)

    def stored(batch: list[CaptionRow]) -> Iterator[PoolRow]:
        return in_order(lambda row: _stored(row, images.get(_normal(row.file)), max_side), batch, num_workers)

    def jobs() -> Iterator[ShardJob]:
        rows = iter(table)
        for number in count():
            batch = list(islice(rows, samples_per_shard))
            if not batch:
                return
            found = [images.get(_normal(row.file)) for row in batch]
            if number == 0 and not any(found):
                raise _nothing_found(captions, images_dir, batch, next(iter(images)))
            yield ShardJob(_inputs(batch, found, max_side), len(batch), partial(stored, batch))

    return write_shards(output_dir, jobs(), samples_per_shard, name=name, overwrite=overwrite, total=table.rows)


def list_images(images_dir: str) -> dict[str, storage.FileInfo]:
    """Path below the folder -> file; of the sizes and etags in this listing a shard's inputs are made."""
    infos = storage.list_files(images_dir, recursive=True)
    if not infos:
        raise ConfigError(f"no files in {images_dir}: it must be a folder that holds the images")
    return {storage.relative_to(info.url, images_dir): info for info in infos}


def _stored(row: CaptionRow, info: storage.FileInfo | None, max_side: int | None) -> PoolRow:
    url = row.url or row.file
    fault = caption_fault(row.caption) or uid_fault(row.uid) or ("" if info else "image not found")
    if fault or info is None or row.caption is None:
        return failed_row(row.caption, url, row.uid, FAILED_TO_DOWNLOAD, fault)
    try:
        encoded = storage.read_bytes(info.url)
    except NotFoundError as error:  # any other failure may pass, and a row that failed stays so
        return failed_row(row.caption, url, row.uid, FAILED_TO_DOWNLOAD, f"image not readable: {error}")
    sample = PoolSample(image=encoded, suffix=image_suffix(encoded), caption=row.caption, url=url, uid=row.uid)
    return stored_row(sample, max_side)


def _inputs(batch: list[CaptionRow], found: list[storage.FileInfo | None], max_side: int | None) -> str:
    pinned = [
        [row.file, row.caption, row.url, row.uid, info and [info.size, info.etag]]
        for row, info in zip(batch, found, strict=True)
    ]
    return digest(pinned, max_side)


def _nothing_found(captions: str, images_dir: str, batch: list[CaptionRow], present: str) -> ConfigError:
    return ConfigError(
        f"none of the first {len(batch)} files that {captions} names is in {images_dir}: "
        f"it names {batch[0].file!r}, the folder holds {present!r}"
    )


def _normal(path: str) -> str:
    return posixpath.normpath(path)
