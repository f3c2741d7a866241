"""Subsets as `.pkl` (a Python set of hex uids) and `.trie` (marisa-trie): both hold a uid once."""

import io
import pickle
from collections.abc import Sequence
from typing import IO

import numpy as np
from numpy.typing import NDArray

from datascaler import storage
from datascaler.data.pool.uids import is_uid, uid_array, uid_hex
from datascaler.data.subset.safe_pickle import load_data_pickle
from datascaler.errors import ConfigError


def write_pkl(file: IO[bytes], uids: NDArray[np.void]) -> None:
    pickle.dump(set(uid_hex(uids)), file, protocol=4)


def read_pkl(url: str) -> NDArray[np.void]:
    """Other people's pickles may also hold a list, which can repeat uids, the keys of a dict or a `u8,u8` array."""
    content = load_data_pickle(io.BytesIO(storage.read_bytes(url)))
    if isinstance(content, np.ndarray):
        return content
    if not isinstance(content, set | frozenset | list | tuple | dict):
        raise ConfigError(f"expected a set, list or dict of uids, found {type(content).__name__}")
    return _from_hex(list(content))


def write_trie(file: IO[bytes], uids: NDArray[np.void]) -> None:
    import marisa_trie

    file.write(marisa_trie.Trie(uid_hex(uids)).tobytes())


def read_trie(url: str) -> NDArray[np.void]:
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
