"""Subset files: the uids to train on, in any of five formats, with a recipe beside them."""

from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from datascaler import storage
from datascaler.data.multiset import count_repeats
from datascaler.data.subset_npy import read_npy, write_npy
from datascaler.data.subset_parquet import read_uid_parquet, write_parquet
from datascaler.data.subset_sets import read_pkl, read_trie, write_pkl, write_trie
from datascaler.data.subset_text import read_txt, write_txt
from datascaler.data.uids import is_sorted, sort_order
from datascaler.errors import ConfigError


class _Format(NamedTuple):
    read: Callable[[str], NDArray[np.void]]
    write: Callable[[IO[bytes], NDArray[np.void]], None]
    holds_repeats: bool


_FORMATS = {
    "npy": _Format(read_npy, write_npy, holds_repeats=True),
    "pkl": _Format(read_pkl, write_pkl, holds_repeats=False),
    "trie": _Format(read_trie, write_trie, holds_repeats=False),
    "txt": _Format(read_txt, write_txt, holds_repeats=True),
    "parquet": _Format(read_uid_parquet, write_parquet, holds_repeats=True),
}
FORMATS = tuple(_FORMATS)


class SubsetFile(NamedTuple):
    """What a subset file holds."""

    uids: NDArray[np.void]
    """`u8,u8`, ascending, repeats kept."""
    was_sorted: bool | None
    """Whether the file has them in this order; None where its format knows no order."""


def write_subset(base: str, uids: NDArray[np.void], recipe: dict[str, Any], formats: Iterable[str]) -> list[str]:
    """Publish `<base>.<format>` for each format, then the recipe `<base>.json`. Returns the subset URLs.

    `uids` is `u8,u8`, ascending. Raises ConfigError, before anything is written, for an unknown format and for repeats
    that a format can't hold.
    """
    formats = list(formats)
    for name in formats:
        if name not in _FORMATS:
            raise ConfigError(f"unknown subset format {name!r}; known: {', '.join(FORMATS)}")
    refuse_repeats(uids, formats)
    digest = subset_digest(uids)
    before = read_recipe(f"{base}.npy")
    there = before.get("formats", []) if before and before["digest"] == digest else []
    urls = []
    for name in formats:
        url = f"{base}.{name}"
        with storage.publish(url) as file:
            _FORMATS[name].write(file, uids)
        urls.append(url)
    listed = [name for name in FORMATS if name in {*formats, *there}]
    storage.publish_json(f"{base}.json", {**recipe, "digest": digest, "formats": listed})
    return urls


def refuse_repeats(uids: NDArray[np.void], formats: Iterable[str]) -> None:
    """A set holds a uid once: training on it would see less of what was meant to be seen more often."""
    sets = [name for name in formats if not _FORMATS[name].holds_repeats]
    if sets and (repeats := count_repeats(uids)):
        raise ConfigError(
            f"{repeats:,} of {len(uids):,} uids are repeats, which .{sets[0]} can't hold: "
            f"choose {_listed(name for name in FORMATS if _FORMATS[name].holds_repeats)}, or drop the repeats"
        )


def read_subset(url: str) -> NDArray[np.void]:
    """The uids of a subset file, `u8,u8`, ascending, repeats kept. The format is told by the name's suffix."""
    return open_subset(url).uids


def open_subset(url: str) -> SubsetFile:
    """Read a subset file, mapped into memory where it is a sorted .npy. Raises ConfigError for anything else."""
    try:
        uids = _FORMATS[format_of(url)].read(url)
    except ConfigError as error:
        raise ConfigError(f"{url}: {error}") from error
    if not len(uids):
        raise ConfigError(f"{url} holds no uids")
    ordered = is_sorted(uids)
    was_sorted = ordered if _FORMATS[format_of(url)].holds_repeats else None
    return SubsetFile(uids if ordered else uids[sort_order(uids)], was_sorted)


def format_of(url: str) -> str:
    """The format that a name's suffix stands for."""
    _, dot, suffix = storage.basename(url).lower().rpartition(".")
    suffix = {"pickle": "pkl"}.get(suffix, suffix) if dot else ""
    if suffix not in _FORMATS:
        raise ConfigError(f"unknown subset format: expected {_listed(FORMATS)}")
    return suffix


def base_of(subset_url: str) -> str:
    """A subset file's URL without its suffix: what its recipe and its plan are named after."""
    return subset_url.rpartition(".")[0]


def read_recipe(subset_url: str) -> dict[str, Any] | None:
    """The recipe beside a subset file, or None for a subset that came from elsewhere."""
    url = base_of(subset_url) + ".json"
    record = storage.read_json(url) if storage.exists(url) else None
    # A file of somebody else's may have the name.
    return record if isinstance(record, dict) and "digest" in record else None


def subset_digest(uids: NDArray[np.void]) -> str:
    """Names the multiset of uids, whatever file it came from (16 hex digits)."""
    return sha256(np.ascontiguousarray(uids).view(np.uint8).data).hexdigest()[:16]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f".{name}" for name in names)
