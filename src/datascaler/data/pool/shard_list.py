"""The frozen shard list of an output folder: what `i::count` is taken of, whatever the pool's listing says later."""

from collections.abc import Container
from dataclasses import replace
from typing import Protocol

import pyarrow as pa

from datascaler import storage
from datascaler.data.pool.parquet import encode_parquet, read_parquet
from datascaler.data.pool.shards import Shard, changed_shard, find_shards, is_version, same_content
from datascaler.errors import ConfigError, StorageError
from datascaler.tools.ordered_map import read_in_order


class Find(Protocol):
    """Lists a pool: the tars of a data-dir, or DataComp's metadata files; with `only`, those among these URLs."""

    def __call__(self, data_dir: str, only: Container[str] | None = None, /) -> list[Shard]: ...


_DATA_DIR = b"data_dir"
_COLUMNS = ("url", "name", "size", "etag")
_READERS = 16


def frozen_shards(output_dir: str, data_dir: str, find: Find = find_shards) -> list[Shard]:
    """The shards that this output folder is about. The first caller lists the pool; everybody reads what it wrote.

    `data_dir` may be a copy of that pool, as a node has it on its own disk, and may hold a part of it: the shards are
    those of the list, by name, size and content, with the URLs that they have there.
    """
    url = _list_url(output_dir)
    if not storage.exists(url):
        storage.publish_if_absent(url, _encode(find(data_dir), data_dir))
    shards, frozen_dir = _read(url)
    if _normal(frozen_dir) == _normal(data_dir):
        return shards
    there = {shard.name: shard for shard in find(data_dir)}
    refusal = f"{output_dir} was started on the pool {frozen_dir}, not {data_dir}"
    if not any(shard.name in there for shard in shards):
        raise ConfigError(f"{refusal}; use another --output-dir")
    for shard in shards:
        now = there.get(shard.name)
        if now and same_content(shard, now) is False:
            raise ConfigError(f"{refusal}, where {now.url} has another size or content; use another --output-dir")
    # Of one that is not there, reading says so.
    urls = {name: shard.url for name, shard in there.items()}
    return [replace(shard, url=urls.get(shard.name) or storage.join(data_dir, shard.name)) for shard in shards]


def read_frozen_shards(output_dir: str) -> list[Shard]:
    """The list that a scoring run left here."""
    url = _list_url(output_dir)
    if not storage.exists(url):
        raise ConfigError(f"no shards.parquet in {output_dir}: run `datascaler score` into this --output-dir first")
    return _read(url)[0]


def verified_shards(output_dir: str, shards: list[Shard], data_dir: str, find: Find = find_shards) -> list[Shard]:
    """These shards of the list as they are in `data_dir`: one listing tells, before any work, of one that was replaced.

    A shard that is gone is not an error here: reading it will say so, and the others can be used.
    """
    found = {now.url: now for now in find(data_dir, {shard.url for shard in shards})}
    differ = [
        (shard, now)
        for shard in shards
        if (now := found.get(shard.url)) and (now.size, now.etag) != (shard.size, shard.etag)
    ]
    if not differ:
        return shards
    origins = {shard.name: shard for shard in read_frozen_shards(output_dir)}
    compared = read_in_order(lambda pair: _verified(*pair, origins[pair[0].name]), differ, _READERS)
    as_found = {shard.url: shard for shard in compared}
    return [as_found.get(shard.url, shard) for shard in shards]


def _verified(pinned: Shard, now: Shard, origin: Shard) -> Shard:
    """What was found, if it is what the list pinned. Raises ConfigError where it is not."""
    if same_content(pinned, now) is None:
        if not pinned.content and is_version(now, pinned.size, pinned.etag):
            return pinned  # by its time, as tables have it that were made then
        pinned = replace(pinned, digest=pinned.content or _content_at(origin, now))
        if not now.content:
            now = replace(now, digest=storage.content_digest(now.url, now.size))
    if not same_content(pinned, now):
        raise changed_shard(pinned, now)
    return replace(now, digest=pinned.content)


def _content_at(origin: Shard, now: Shard) -> str:
    """The digest of a shard where the list was made, which has its etag; empty if it is another one by now."""
    if origin.url == now.url:
        return ""
    try:
        there = storage.stat(origin.url)
        is_pinned = (there.size, there.etag) == (origin.size, origin.etag)
        return storage.content_digest(origin.url, origin.size) if is_pinned else ""
    except StorageError as error:
        raise ConfigError(
            f"whether {now.url} is a copy of {origin.url} can't be seen, as that can't be read ({error}); "
            "use a new --output-dir"
        ) from error


def _list_url(output_dir: str) -> str:
    return storage.join(output_dir, "shards.parquet")


def _normal(data_dir: str) -> str:
    return "::".join(source.rstrip("/") for source in data_dir.split("::"))


def _encode(shards: list[Shard], data_dir: str) -> bytes:
    columns = {name: [getattr(shard, name) for shard in shards] for name in _COLUMNS}
    table = pa.table(columns).replace_schema_metadata({_DATA_DIR: data_dir.encode()})
    return encode_parquet(table)


def _read(url: str) -> tuple[list[Shard], str]:
    table = read_parquet(url, _COLUMNS)
    metadata = table.schema.metadata or {}
    if _DATA_DIR not in metadata:
        raise ConfigError(f"{url} is not a shard list: it does not say which pool it is of")
    return [Shard(**row) for row in table.to_pylist()], metadata[_DATA_DIR].decode()
