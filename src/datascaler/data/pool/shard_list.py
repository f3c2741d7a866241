"""The frozen shard list of an output folder: what `i::count` is taken of, whatever the pool's listing says later."""

from collections.abc import Container
from typing import Protocol

import pyarrow as pa

from datascaler import storage
from datascaler.data.pool.parquet import encode_parquet, read_parquet
from datascaler.data.pool.shards import Shard, find_shards, require_version
from datascaler.errors import ConfigError


class Find(Protocol):
    """Lists a pool: the tars of a data-dir, or DataComp's metadata files; with `only`, those among these URLs."""

    def __call__(self, data_dir: str, only: Container[str] | None = None, /) -> list[Shard]: ...


_DATA_DIR = b"data_dir"
_COLUMNS = ("url", "name", "size", "etag")


def frozen_shards(output_dir: str, data_dir: str, find: Find = find_shards) -> list[Shard]:
    """The shards that this output folder is about. The first caller lists the pool; everybody reads what it wrote."""
    url = _list_url(output_dir)
    if not storage.exists(url):
        storage.publish_if_absent(url, _encode(find(data_dir), data_dir))
    shards, frozen_dir = _read(url)
    if _normal(frozen_dir) != _normal(data_dir):
        raise ConfigError(
            f"{output_dir} was started on the pool {frozen_dir}, not {data_dir}; use another --output-dir"
        )
    return shards


def read_frozen_shards(output_dir: str) -> list[Shard]:
    """The list that a scoring run left here."""
    url = _list_url(output_dir)
    if not storage.exists(url):
        raise ConfigError(f"no shards.parquet in {output_dir}: run `datascaler score` into this --output-dir first")
    return _read(url)[0]


def require_pool_unchanged(shards: list[Shard], data_dir: str, find: Find = find_shards) -> None:
    """One listing tells, before any work, of a shard that was replaced since the list was frozen.

    A shard that is gone is not an error here: reading it will say so, and the others can be used.
    """
    pinned = {shard.url: shard for shard in shards}
    for now in find(data_dir, pinned):
        require_version(pinned[now.url], now)


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
