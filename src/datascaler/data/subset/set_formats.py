"""Subsets as `.pkl` (a Python set of hex uids) and `.trie` (marisa-trie): both hold a uid once."""

import io
import pickle
import tempfile
from collections.abc import Sequence
from typing import IO

import numpy as np
from numpy.typing import NDArray

from datascaler import storage
from datascaler.data.pool.uids import UID_DTYPE, is_uid, uid_array, uid_hex
from datascaler.data.subset.safe_pickle import load_data_pickle
from datascaler.errors import ConfigError
from datascaler.safe_text import shown
from datascaler.tools.contained import Limits, run_contained

_SPARE_BYTES = 128 << 20
_SPARE_UIDS = 64
_BYTES_A_SECOND = 256 << 10
"""A tenth of what a slow core reads of a trie."""


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
    """Read in a child process: some files crash the library, others have it take all memory, or go on for ever."""
    with storage.local_copy(url) as path, tempfile.TemporaryFile() as output:
        size = path.stat().st_size
        limits = Limits(
            memory_bytes=_SPARE_BYTES + 4 * size,
            cpu_seconds=1 + size // _BYTES_A_SECOND,
            # A key takes more than a byte of a trie.
            output_bytes=UID_DTYPE.itemsize * (_SPARE_UIDS + size),
        )
        run_contained("datascaler.data.subset.trie_uids:write_trie_uids", str(path), output, limits)
        output.seek(0)
        return np.frombuffer(output.read(), np.dtype(">u8,>u8")).astype(UID_DTYPE)


def _from_hex(uids: Sequence[object]) -> NDArray[np.void]:
    wrong = next((uid for uid in uids if not is_uid(uid)), None)
    if wrong is not None:
        raise ConfigError(f"not a uid of 32 hex digits: {shown(wrong)}")
    return uid_array([str(uid) for uid in uids])
