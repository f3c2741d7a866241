"""A pool: the tar shards below one or more data-dirs."""

import json
import logging
import re
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256

from datascaler import storage
from datascaler.data.pool.list_shards import FoundTars, find_tars
from datascaler.errors import ConfigError, NotFoundError
from datascaler.safe_text import safe_message
from datascaler.tools.ordered_map import read_in_order

_log = logging.getLogger(__name__)
_MD5 = re.compile("[0-9a-f]{32}")
"""The etag of an object that was stored by one request is its content's, in most stores."""
_READERS = 16

_Named = tuple[str, storage.FileInfo]
"""The name of a shard, and its file."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One tar of the pool, pinned by what a listing saw."""

    url: str
    name: str
    """Path below its data-dir; with several data-dirs, below `<number of the data-dir>/`."""
    size: int
    etag: str
    digest: str = ""
    """The digest of samples of its content, where somebody has read it and the etag is a store's."""

    @property
    def content(self) -> str:
        """What a copy of the shard keeps, wherever it lies; empty where nobody has looked into it."""
        return self.digest or (self.etag if storage.is_content_digest(self.etag) else "")


def find_shards(data_dir: str, only: Container[str] | None = None) -> list[Shard]:
    """The tars of `data_dir`, by name: those of a folder, a tar, braces, a glob, or a list `a::b` (`list_shards.py`).

    With `only`, those among these URLs: local shards are looked into, for an etag that a copy keeps. Gaps in shard
    numbers are normal: shards that died while they were downloaded leave them.
    """
    listed = [(name, info) for name, info in _listed(data_dir) if only is None or info.url in only]
    etags = storage.content_etags([info for _, info in listed])
    return [Shard(info.url, name, info.size, etag) for (name, info), etag in zip(listed, etags, strict=True)]


def list_shards(data_dir: str) -> list[Shard]:
    """The same without a look into them; the etags are those of a listing, which local files change when copied.

    What is passed over is said, once.
    """
    return [Shard(info.url, name, info.size, info.etag) for name, info in _listed(data_dir)]


def list_pool(data_dir: str) -> tuple[list[Shard], dict[str, str]]:
    """The shards, and the files that look like some but are passed over, each with the reason.

    Raises ConfigError where a data-dir has no shard.
    """
    found, passed_over = _found(data_dir)
    return [Shard(info.url, name, info.size, info.etag) for name, info in found], passed_over


def _listed(data_dir: str) -> list[_Named]:
    """The shards; what is passed over is said."""
    found, passed_over = _found(data_dir)
    if passed_over:
        _warn(f"{data_dir}: {told(passed_over)}")
    return found


def _found(data_dir: str) -> tuple[list[_Named], dict[str, str]]:
    sources = [source for source in data_dir.split("::") if source]
    if not sources:
        raise ConfigError("data-dir is empty")
    shards: list[_Named] = []
    passed_over: dict[str, str] = {}
    for number, source in enumerate(sources):
        prefix = f"{number}/" if len(sources) > 1 else ""
        found = find_tars(source)
        if not found.tars:
            raise _nothing_found(source, found)
        for info in found.tars:
            name = storage.relative_to(info.url, found.base) if found.base else info.url
            shards.append((prefix + name, info))
        passed_over |= found.passed_over
    return shards, passed_over


def told(passed_over: dict[str, str]) -> str:
    """What was passed over, in a sentence: how many, why, and an example of each reason."""
    reasons = Counter(passed_over.values())
    example = {why: storage.basename(url) for url, why in reversed(passed_over.items())}
    return f"passed over {len(passed_over):,}: " + "; ".join(
        f"{count:,} as {example[why]} ({why})" for why, count in reasons.items()
    )


def _nothing_found(source: str, found: FoundTars) -> ConfigError:
    storage.require_bucket(source)
    where = source if found.is_pattern else f"{source} nor in {storage.join(source, 'shards')} nor further down"
    hint = "; a server that lists no folders takes DIR/{00000..00012}.tar" if storage.is_http(source) else ""
    others = f" ({told(found.passed_over)})" if found.passed_over else ""
    return ConfigError(f"no .tar files in {where}{others}{hint}")


def pool_digest(shards: Iterable[Shard]) -> str:
    """A short name for exactly these shards, wherever they are stored: names, sizes and etags."""
    rows = [(shard.name, shard.size, shard.etag) for shard in shards]
    return sha256(json.dumps(rows).encode()).hexdigest()[:16]


def same_content(one: Shard, other: Shard) -> bool | None:
    """Whether two are one shard, perhaps copied from store to store; None where what is known of them can't say.

    It goes by the etag, where both have it from one store, else by the digest of samples of the content. The time of a
    file and how its path is spelled say nothing.
    """
    if one.size != other.size:
        return False
    if one.etag == other.etag:
        return True
    if _MD5.fullmatch(one.etag) and _MD5.fullmatch(other.etag):
        return False
    return one.content == other.content if one.content and other.content else None


def is_copy(shards: Sequence[Shard], others: Sequence[Shard]) -> bool:
    """Whether two pools have the same shards by name, size and content, which is looked into where nobody knows it."""
    if [(shard.name, shard.size) for shard in shards] != [(shard.name, shard.size) for shard in others]:
        return False
    return all(read_in_order(lambda pair: _are_same(*pair), zip(shards, others, strict=True), _READERS))


def _are_same(one: Shard, other: Shard) -> bool:
    same = same_content(one, other)
    return _content_of(one) == _content_of(other) if same is None else same


def _content_of(shard: Shard) -> str:
    return shard.content or storage.content_digest(shard.url, shard.size)


def is_version(shard: Shard, size: int, etag: str, digest: str = "") -> bool:
    """Whether what pins (size, etag), and the digest where it is known, was made from this very shard, or a copy.

    A shard is looked into where only its content can say so; one without a URL can't be.
    """
    pinned = Shard("", shard.name, size, etag, digest)
    same = same_content(shard, pinned)
    if same is None and shard.url:
        if pinned.content:
            return storage.content_digest(shard.url, size) == pinned.content
        # Of a local shard, the time of its last change was pinned once.
        return storage.is_local(shard.url) and bool(etag) and etag == _changed(shard.url)
    return bool(same)


def require_unchanged(expected: Shard) -> None:
    """A shard that was replaced makes every stored row number wrong: stop, and name it."""
    found = storage.identify(expected.url)
    now = Shard(url=expected.url, name=expected.name, size=found.size, etag=found.etag)
    if not is_version(now, expected.size, expected.etag, expected.digest):
        raise changed_shard(expected, now)


def changed_shard(expected: Shard, found: Shard) -> ConfigError:
    """The error for a shard that is not the one that was pinned."""
    return ConfigError(
        f"shard {expected.url} has changed: size {found.size} and etag {found.etag!r}, but this run pinned "
        f"size {expected.size} and etag {expected.etag!r}; use a new --output-dir for the changed pool"
    )


def _changed(url: str) -> str | None:
    try:
        return storage.stat(url).etag
    except NotFoundError:
        return None


@cache
def _warn(text: str) -> None:
    """Once, however often the pool is listed."""
    _log.warning("%s", safe_message(text))
