"""A pool: the tar shards below one or more data-dirs."""

import json
import re
from collections.abc import Container, Iterable
from dataclasses import dataclass, replace
from hashlib import sha256

from datascaler import storage
from datascaler.errors import ConfigError, NotFoundError

_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")


@dataclass(frozen=True, slots=True)
class Shard:
    """One tar of the pool, pinned by what a listing saw."""

    url: str
    name: str
    """Path below its data-dir; with several data-dirs, below `<number of the data-dir>/`."""
    size: int
    etag: str


def find_shards(data_dir: str, only: Container[str] | None = None) -> list[Shard]:
    """The tars of `data_dir`, by name: `DIR/*.tar` and `DIR/shards/*.tar`, a tar, a brace range, or a list `a::b`.

    With `only`, those among these URLs: local shards are looked into, for an etag that a copy keeps. Gaps in shard
    numbers are normal: shards that died while they were downloaded leave them.
    """
    listed = [shard for shard in list_shards(data_dir) if only is None or shard.url in only]
    found = storage.identify_all(storage.FileInfo(shard.url, shard.size, shard.etag) for shard in listed)
    return [replace(shard, etag=info.etag) for shard, info in zip(listed, found, strict=True)]


def list_shards(data_dir: str) -> list[Shard]:
    """The same without a look into them; the etags are those of a listing, which local files change when copied."""
    sources = [source for source in data_dir.split("::") if source]
    if not sources:
        raise ConfigError("data-dir is empty")
    shards: list[Shard] = []
    for number, source in enumerate(sources):
        prefix = f"{number}/" if len(sources) > 1 else ""
        found = list(_shards_of(source, prefix))
        if not found:
            storage.require_bucket(source)
            hint = "; a server that lists no folders takes DIR/{00000..00012}.tar" if storage.is_http(source) else ""
            raise ConfigError(f"no .tar files in {source} nor in {storage.join(source, 'shards')}{hint}")
        shards += found
    return shards


def pool_digest(shards: Iterable[Shard]) -> str:
    """A short name for exactly these shards, wherever they are stored: names, sizes and etags."""
    rows = [(shard.name, shard.size, shard.etag) for shard in shards]
    return sha256(json.dumps(rows).encode()).hexdigest()[:16]


def is_version(shard: Shard, size: int, etag: str) -> bool:
    """Whether what pins (size, etag) was made from this very shard."""
    if (size, etag) == (shard.size, shard.etag):
        return True
    # Of a local shard, the time of its last change was pinned once.
    return size == shard.size and storage.is_local(shard.url) and etag == _changed(shard.url)


def require_unchanged(expected: Shard) -> None:
    """A shard that was replaced makes every stored row number wrong: stop, and name it."""
    require_version(expected, storage.identify(expected.url))


def require_version(expected: Shard, found: storage.FileInfo | Shard) -> None:
    """The same of a shard that was just looked at."""
    now = Shard(url=expected.url, name=expected.name, size=found.size, etag=found.etag)
    if not is_version(now, expected.size, expected.etag):
        raise ConfigError(
            f"shard {expected.url} has changed: size {found.size} and etag {found.etag!r}, but this run pinned "
            f"size {expected.size} and etag {expected.etag!r}; use a new --output-dir for the changed pool"
        )


def _changed(url: str) -> str | None:
    try:
        return storage.stat(url).etag
    except NotFoundError:
        return None


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
    """The shards of a brace range that exist, by one listing a folder: ranges of 100,000 shards are common.

    Of a web server each is asked for, since few list their folders.
    """
    if storage.is_http(source):
        return storage.stat_all(_expand_braces(source))
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
