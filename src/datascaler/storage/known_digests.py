"""Digests of local files that were computed before on this node, so that opening a pool again reads none of them.

A digest counts for a file of the same path, size, times and inode: every write changes the change time, which nobody
can set back. A file that was changed a short while ago may be changed again within one tick of the clock, so it is not
kept yet. There is a file for each folder, `digests-*.json` in the node's folder; without it all digests are computed.
"""

import json
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import IO

from datascaler.storage.info import FileInfo
from datascaler.storage.urls import parent
from datascaler.tools.node_folder import node_folder

_SETTLED_NS = 10 * 10**9


class KnownDigests:
    """Those of the files of one listing."""

    def __init__(self, infos: Iterable[FileInfo]) -> None:
        self._infos = list(infos)
        # Any name will do that is the same again; where files come together, so do most of their folders.
        self._name = f"digests-{sha256(parent(self._infos[0].url).encode()).hexdigest()[:24]}"
        self._known: dict[str, object] = {}
        """What each file was and its digest, by its URL."""
        with suppress(OSError, ValueError), _opened(node_folder() / f"{self._name}.json", os.O_RDONLY) as file:
            found = json.load(file)
            self._known = found if isinstance(found, dict) else {}

    def of(self, info: FileInfo) -> str | None:
        known = self._known.get(info.url)
        was, _, digest = known.rpartition(" ") if isinstance(known, str) else ("", "", "")
        return digest if was == _state(info) else None

    def keep(self, digests: Iterable[tuple[FileInfo, str]]) -> None:
        """Have `of` give these from the next time on, beside those that still count."""
        settled = time.time_ns() - _SETTLED_NS
        new = {info.url: f"{_state(info)} {digest}" for info, digest in digests if 0 < info.changed_ns < settled}
        if not new:
            return
        known = {info.url: self._known[info.url] for info in self._infos if self.of(info)} | new
        with suppress(OSError):
            folder = node_folder()
            folder.mkdir(mode=0o700, exist_ok=True)
            temporary = folder / f"{self._name}.{os.getpid()}.{time.monotonic_ns()}"
            try:
                with _opened(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as file:
                    file.write(json.dumps(known, separators=(",", ":")))
                temporary.replace(folder / f"{self._name}.json")
            finally:
                temporary.unlink(missing_ok=True)


def _state(info: FileInfo) -> str:
    return f"{info.size} {info.etag} {info.changed_ns} {info.inode}"


def _opened(path: Path, flags: int) -> IO[str]:
    return os.fdopen(os.open(path, flags | os.O_NOFOLLOW, 0o600), "w" if flags & os.O_WRONLY else "r")
