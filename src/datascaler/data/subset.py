"""Subset files: the uids to train on, in DataComp's `.npy`, as `.pkl` or `.trie`, with a recipe beside them."""

import io
import pickle
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datascaler import storage
from datascaler.data.safe_pickle import load_data_pickle
from datascaler.data.uids import UID_DTYPE, is_sorted, is_uid, sort_order, uid_array, uid_hex
from datascaler.errors import ConfigError

FORMATS = ("npy", "pkl", "trie")


def write_subset(base: str, uids: NDArray[np.void], recipe: dict[str, Any], formats: Iterable[str]) -> list[str]:
    """Publish `<base>.<format>` for each format, then the recipe `<base>.json`. Returns the subset URLs.

    `uids` is `u8,u8`, ascending; repeats are kept in `.npy` and lost in the two set-like formats.
    """
    urls = []
    for name in formats:
        url = f"{base}.{name}"
        with storage.publish(url) as file:
            if name == "npy":
                np.lib.format.write_array(file, uids, allow_pickle=False)
            elif name == "pkl":
                pickle.dump(set(uid_hex(uids)), file, protocol=4)
            else:
                file.write(_trie_of(uids).tobytes())
        urls.append(url)
    storage.publish_json(f"{base}.json", {**recipe, "digest": subset_digest(uids), "formats": list(formats)})
    return urls


def read_subset(url: str) -> NDArray[np.void]:
    """The uids of a subset file, `u8,u8`, ascending, repeats kept. The format is told by the name's suffix."""
    suffix = storage.basename(url).rpartition(".")[2].lower()
    readers = {"npy": _read_npy, "pkl": _read_pkl, "pickle": _read_pkl, "trie": _read_trie}
    if suffix not in readers:
        raise ConfigError(f"unknown subset format {url}: expected {', '.join('.' + name for name in FORMATS)}")
    try:
        uids = readers[suffix](url)
    except ConfigError as error:
        raise ConfigError(f"{url}: {error}") from error
    if not len(uids):
        raise ConfigError(f"{url} holds no uids")
    return uids if is_sorted(uids) else uids[sort_order(uids)]


def read_recipe(subset_url: str) -> dict[str, Any] | None:
    """The recipe beside a subset file, or None for a subset that came from elsewhere."""
    url = subset_url.rpartition(".")[0] + ".json"
    record = storage.read_json(url) if storage.exists(url) else None
    # A file of somebody else's may have the name.
    return record if isinstance(record, dict) and "digest" in record else None


def subset_digest(uids: NDArray[np.void]) -> str:
    """Names the multiset of uids, whatever file it came from (16 hex digits)."""
    return sha256(np.ascontiguousarray(uids).tobytes()).hexdigest()[:16]


def _read_npy(url: str) -> NDArray[np.void]:
    with storage.local_copy(url) as path:
        with path.open("rb") as file:
            has_header = file.read(6) == b"\x93NUMPY"
        if not has_header:
            return _raw_uids(path.read_bytes())
        try:
            uids = np.load(path, allow_pickle=False)
        except ValueError as error:
            raise ConfigError(f"not a readable .npy file ({error})") from error
    return _checked_array(uids)


def _raw_uids(content: bytes) -> NDArray[np.void]:
    """DataComp also accepts a headerless memmap of 16-byte records."""
    if not content or len(content) % UID_DTYPE.itemsize:
        raise ConfigError(f"neither a .npy file nor raw 16-byte uids ({len(content)} bytes)")
    return np.frombuffer(content, dtype=UID_DTYPE)


def _checked_array(uids: NDArray[Any]) -> NDArray[np.void]:
    if uids.dtype != UID_DTYPE or uids.ndim != 1:
        raise ConfigError(f"expected one dimension of dtype u8,u8, found {uids.ndim} of {uids.dtype}")
    return uids


def _read_pkl(url: str) -> NDArray[np.void]:
    content = load_data_pickle(io.BytesIO(storage.read_bytes(url)))
    if isinstance(content, np.ndarray):
        return content
    if not isinstance(content, set | frozenset | list | tuple | dict):
        raise ConfigError(f"expected a set, list or dict of uids, found {type(content).__name__}")
    return _from_hex(list(content))


def _read_trie(url: str) -> NDArray[np.void]:
    import marisa_trie

    trie = marisa_trie.Trie()
    try:
        trie.frombytes(storage.read_bytes(url))
    except (RuntimeError, ValueError) as error:
        raise ConfigError(f"not a readable marisa trie ({error})") from error
    return _from_hex(trie.keys())


def _from_hex(uids: Sequence[object]) -> NDArray[np.void]:
    wrong = next((uid for uid in uids if not is_uid(uid)), None)
    if wrong is not None:
        raise ConfigError(f"not a uid of 32 hex digits: {wrong!r}")
    return uid_array([str(uid) for uid in uids])


def _trie_of(uids: NDArray[np.void]) -> Any:
    import marisa_trie

    return marisa_trie.Trie(uid_hex(uids))
