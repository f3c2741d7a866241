"""A pool: the tar shards below one or more data-dirs."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import sha256

from datascaler import storage
from datascaler.errors import ConfigError

_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")


@dataclass(frozen=True, slots=True)
class Shard:
    """One tar of the pool, pinned by what a listing saw."""

    url: str
    name: str
    """Path below its data-dir; with several data-dirs, below `<number of the data-dir>/`."""
    size: int
    etag: str


def find_shards(data_dir: str) -> list[Shard]:
    """The tars of `data_dir`, by name: `DIR/*.tar` and `DIR/shards/*.tar`, a tar, a brace range, or a list `a::b`.

    Gaps in shard numbers are normal: shards that died while they were downloaded leave them.
    """
    sources = [source for source in data_dir.split("::") if source]
    if not sources:
        raise ConfigError("data-dir is empty")
    shards: list[Shard] = []
    for number, source in enumerate(sources):
        prefix = f"{number}/" if len(sources) > 1 else ""
        found = list(_shards_of(source, prefix))
        if not found:
            storage.require_bucket(source)
            raise ConfigError(f"no .tar files in {source} nor in {storage.join(source, 'shards')}")
        shards += found
    return shards


def pool_digest(shards: Iterable[Shard]) -> str:
    """A short name for exactly these shards, wherever they are stored: names, sizes and etags."""
    rows = [(shard.name, shard.size, shard.etag) for shard in shards]
    return sha256(json.dumps(rows).encode()).hexdigest()[:16]


def require_unchanged(expected: Shard, found: storage.FileInfo) -> None:
    """A shard that was replaced makes every stored row number wrong: stop, and name it."""
    if (found.size, found.etag) != (expected.size, expected.etag):
        raise ConfigError(
            f"shard {expected.url} has changed: size {found.size} and etag {found.etag!r}, but this run pinned "
            f"size {expected.size} and etag {expected.etag!r}; use a new --output-dir for the changed pool"
        )


def _shards_of(source: str, prefix: str) -> Iterable[Shard]:
    if source.endswith(".tar"):
        # Names start below the part that all shards of a brace range share.
        base = source.partition("{")[0].rpartition("/")[0]
        infos = _of_braces(source) if "{" in source else [storage.stat(source)]
    else:
        infos = storage.list_files(source, ".tar") + storage.list_files(storage.join(source, "shards"), ".tar")
        base = source
    for info in infos:
        name = prefix + (storage.relative_to(info.url, base) if base else info.url)
        yield Shard(url=info.url, name=name, size=info.size, etag=info.etag)


def _of_braces(source: str) -> list[storage.FileInfo]:
    """The shards of a brace range that exist, by one listing a folder: ranges of 100,000 shards are common."""
    wanted: dict[str, list[str]] = {}
    for url in _expand_braces(source):
        wanted.setdefault(storage.parent(url), []).append(url)
    found = []
    for folder, urls in wanted.items():
        present = {storage.basename(info.url): info for info in storage.list_files(folder, ".tar")}
        found += [replace(info, url=url) for url in urls if (info := present.get(storage.basename(url)))]
    return found


def _expand_braces(url: str) -> list[str]:
    """`{00000..00012}` -> its thirteen URLs, padded as the first number is."""
    match = _BRACES.search(url)
    if not match:
        return [url]
    first, last = match.groups()
    numbers = range(int(first), int(last) + 1)
    return [
        expanded
        for number in numbers
        for expanded in _expand_braces(url[: match.start()] + f"{number:0{len(first)}d}" + url[match.end() :])
    ]
