"""What an evaluation set holds, named by content: a result of other labels is not one of this set, whatever its size.

A tar that looks as it did when it was read for a result (size and etag; a local one's time of change too) is taken for
the same. Any other is read to find out: a copy of a set is that set.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import IO, Any

from datascaler import storage

_READ_ANYWAY_BYTES = 16 << 20
"""Local tars up to this size are always read: the times of some file systems have steps of seconds."""
_PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class DataIdentity:
    """The identity of one evaluation set, as it is recorded beside its result."""

    contents: dict[str, str]
    """File -> its sha256, or that of what it says."""
    seen: dict[str, list[Any]]
    """Tar -> size, etag and time of change when it was read."""

    @property
    def digest(self) -> str:
        """Names this content wherever it is stored."""
        return sha256(json.dumps(self.contents, sort_keys=True).encode()).hexdigest()[:16]

    def changed(self, other: "DataIdentity") -> list[str]:
        """The files that are not the same."""
        names = sorted(self.contents.keys() | other.contents.keys())
        return [name for name in names if self.contents.get(name) != other.contents.get(name)]


NO_DATA = DataIdentity({}, {})


class HashedFile:
    """Reads a binary file from its start to its end, and hashes what it reads."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._hash = sha256()

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(size)
        self._hash.update(piece)
        return piece

    def hash_to_end(self) -> str:
        """sha256 of the whole file, whatever of it was read before."""
        while self.read(_PIECE_BYTES):
            pass
        return self._hash.hexdigest()


def identify_set(
    texts: Mapping[str, Sequence[str]],
    tars: Sequence[storage.FileInfo],
    hashes: Mapping[str, str],
    known: DataIdentity = NO_DATA,
) -> DataIdentity:
    """The identity of a set with these texts and tars.

    hashes: URL -> sha256 of tars that were read just now. known: what an earlier result recorded of the set.
    """
    contents = {name: sha256(json.dumps(list(lines)).encode()).hexdigest() for name, lines in texts.items()}
    seen = {}
    for tar in tars:
        name = f"test/{storage.basename(tar.url)}"
        is_local = storage.is_local(tar.url)
        seen[name] = [tar.size, tar.etag, tar.modified if is_local else 0.0]
        looks_the_same = bool(tar.etag) and known.seen.get(name) == seen[name]
        must_be_read = is_local and tar.size <= _READ_ANYWAY_BYTES
        if tar.url in hashes:
            contents[name] = hashes[tar.url]
        elif looks_the_same and not must_be_read:
            contents[name] = known.contents.get(name, "")
        else:
            with storage.translated_errors(tar.url), storage.open_read(tar.url) as file:
                contents[name] = HashedFile(file).hash_to_end()
    return DataIdentity(contents, seen)
