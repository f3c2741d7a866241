"""Subset files: the uids to train on, in any of five formats, with a recipe beside them."""

from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from datascaler import storage
from datascaler.data.pool.uids import is_sorted, is_uid, sort_order, uid_array
from datascaler.data.subset.multiset import count_repeats
from datascaler.data.subset.npy_format import read_npy, write_npy
from datascaler.data.subset.parquet_format import read_uid_parquet, write_parquet
from datascaler.data.subset.set_formats import read_pkl, read_trie, write_pkl, write_trie
from datascaler.data.subset.text_format import read_txt, write_txt
from datascaler.errors import ConfigError, DamagedError


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
_FILES = "file_sha256"
"""The key of a stored recipe that maps each format to the digest of its file's bytes."""
_PIECE_BYTES = 1 << 20


class SubsetFile(NamedTuple):
    """What a subset file holds."""

    uids: NDArray[np.void]
    """`u8,u8`, ascending, repeats kept."""
    was_sorted: bool | None
    """Whether the file has them in this order; None where its format knows no order."""


def write_subset(
    base: str,
    uids: NDArray[np.void] | Iterable[str],
    recipe: Mapping[str, Any] | None = None,
    formats: Iterable[str] = ("npy",),
) -> list[str]:
    """Publish `<base>.<format>` for each format, then the recipe `<base>.json`. Returns the subset URLs.

    Args:
        base: path or URL of the files, without a suffix.
        uids: [n] of dtype `u8,u8`, as `read_subset` gives them, or n texts of 32 hex digits; in any order. A uid that
            is there k times is trained on k times an epoch.
        recipe: what is to be known of the choice, as plain JSON; `method` and `fraction` name runs of training.
        formats: of `npy` (DataComp's own), `pkl`, `trie`, `txt` and `parquet`.

    Raises ConfigError, before anything is written, for an unknown format and for repeats that a format can't hold.

    Example:
        >>> uids = read_subset("scored/subsets/clip-f0.5.npy")
        >>> write_subset("mine", uids[::2], {"method": "every_other"}, ["npy", "txt"])
        ['mine.npy', 'mine.txt']
        >>> len(read_subset("mine.txt"))
        6
    """
    formats = list(formats)
    if not isinstance(uids, np.ndarray):
        uids = _checked_array(list(uids))
    uids = uids if is_sorted(uids) else uids[sort_order(uids)]
    for name in formats:
        if name not in _FORMATS:
            raise ConfigError(f"unknown subset format {name!r}; known: {', '.join(FORMATS)}")
    refuse_repeats(uids, formats)
    digest = subset_digest(uids)
    before = _read_record(f"{base}.npy") or {}
    files = _file_digests(before) if before.get("digest") == digest else {}
    there = before.get("formats", []) if before.get("digest") == digest else []
    stale = [] if before.get("digest") == digest else before.get("formats", [])
    urls = []
    for name in formats:
        url = f"{base}.{name}"
        with storage.publish(url) as file:
            _FORMATS[name].write(file, uids)
            files[name] = _digest_of(file)
        urls.append(url)
    # Files of another subset would pass for this one's.
    for name in FORMATS:
        if name in stale and name not in formats and storage.exists(f"{base}.{name}"):
            storage.remove(f"{base}.{name}")
    listed = [name for name in FORMATS if name in {*formats, *there}]
    storage.publish_record(f"{base}.json", {**(recipe or {}), "digest": digest, "formats": listed, _FILES: files})
    return urls


def _checked_array(uids: list[str]) -> NDArray[np.void]:
    for each in uids:
        if not is_uid(each):
            raise ConfigError(f"not a uid of 32 hex digits: {each!r}")
    return uid_array(uids)


def refuse_repeats(uids: NDArray[np.void], formats: Iterable[str]) -> None:
    """A set holds a uid once: training on it would see less of what was meant to be seen more often."""
    sets = [name for name in formats if not _FORMATS[name].holds_repeats]
    if sets and (repeats := count_repeats(uids)):
        raise ConfigError(
            f"{repeats:,} of {len(uids):,} uids are repeats, which .{sets[0]} can't hold: "
            f"choose {_listed(name for name in FORMATS if _FORMATS[name].holds_repeats)}, or drop the repeats"
        )


def read_subset(url: str) -> NDArray[np.void]:
    """The uids of a subset file: [n] of dtype `u8,u8` (16 and 16 hex digits), ascending, repeats kept.

    The name's suffix tells the format. A sorted .npy is mapped into memory.

    Raises ConfigError for a file of another kind or without uids, DamagedError where the recipe beside it is of other
    content, StorageError where it can't be read.

    Example:
        >>> uids = read_subset("scored/subsets/clip-f0.5.npy")
        >>> uids.dtype.names, len(uids)
        (('f0', 'f1'), 12)
    """
    return open_subset(url).uids


def open_subset(url: str, *, strict: bool = True) -> SubsetFile:
    """Read a subset file, mapped into memory where it is a sorted .npy. Raises ConfigError for anything else, and
    DamagedError where a recipe lies beside it that is of other content.

    strict: False leaves it to the caller to compare with the recipe.
    """
    name = format_of(url)
    recipe = _read_record(url) or {}
    with storage.local_copy(url) as path:
        expected = _file_digests(recipe).get(name)
        # Before it is parsed: the library that reads tries crashes on some damaged ones.
        if expected is not None and (strict or name == "trie"):
            with path.open("rb") as file:
                _require_digest(url, _digest_of(file), expected)
        try:
            uids = _FORMATS[name].read(str(path))
        except ConfigError as error:
            raise ConfigError(f"{url}: {error}") from error
    if not len(uids):
        raise ConfigError(f"{url} holds no uids")
    ordered = is_sorted(uids)
    uids = uids if ordered else uids[sort_order(uids)]
    if strict and expected is None and "digest" in recipe:
        _require_digest(url, subset_digest(uids), recipe["digest"])
    return SubsetFile(uids, ordered if _FORMATS[name].holds_repeats else None)


def format_of(url: str) -> str:
    """The format that a name's suffix stands for."""
    _, dot, suffix = storage.basename(url).lower().rpartition(".")
    suffix = {"pickle": "pkl"}.get(suffix, suffix) if dot else ""
    if suffix not in _FORMATS:
        raise ConfigError(f"unknown subset format: expected {_listed(FORMATS)}, got {url}")
    return suffix


def base_of(subset_url: str) -> str:
    """A subset file's URL without its suffix: what its recipe and its plan are named after."""
    return subset_url.rpartition(".")[0]


def read_recipe(subset_url: str) -> dict[str, Any] | None:
    """The recipe beside a subset file, or None for a subset that came from elsewhere."""
    record = _read_record(subset_url)
    return {name: value for name, value in record.items() if name != _FILES} if record else None


def subset_digest(uids: NDArray[np.void]) -> str:
    """Names the multiset of uids, whatever file it came from (16 hex digits)."""
    return sha256(np.ascontiguousarray(uids).view(np.uint8).data).hexdigest()[:16]


def _read_record(subset_url: str) -> dict[str, Any] | None:
    """The recipe with the digests of the files."""
    url = base_of(subset_url) + ".json"
    record = storage.read_json(url) if storage.exists(url) else None
    # A file of somebody else's may have the name.
    if not isinstance(record, dict):
        return None
    record = storage.checked(record, url)
    return record if "digest" in record else None


def _file_digests(record: dict[str, Any]) -> dict[str, Any]:
    files = record.get(_FILES)
    return files if isinstance(files, dict) else {}


def _require_digest(url: str, found: str, expected: object) -> None:
    if found != expected:
        raise DamagedError(
            f"{url} is not what its recipe {base_of(url)}.json was written for (digest {found}, not {expected}): it is "
            "damaged, or was exchanged; restore it, or remove the recipe if the file is what you want"
        )


def _digest_of(file: IO[bytes]) -> str:
    """The digest of a file's bytes, from its beginning (16 hex digits)."""
    file.seek(0)
    digest = sha256()
    while piece := file.read(_PIECE_BYTES):
        digest.update(piece)
    return digest.hexdigest()[:16]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f".{name}" for name in names)
