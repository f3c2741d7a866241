"""A writer of tar shards whose bytes depend on nothing but the members: DataComp's form, no times, no owner ids."""

import io
import tarfile
from types import TracebackType
from typing import IO, Self


class TarWriter:
    """Uncompressed USTAR; members are read-only and belong to "bigdata", as in the shards of img2dataset."""

    def __init__(self, file: IO[bytes]) -> None:
        self._tar = tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115 - closed by close()

    def add(self, name: str, data: bytes | memoryview) -> None:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        info.mode = 0o444
        info.uname = info.gname = "bigdata"
        self._tar.addfile(info, io.BytesIO(data))

    def add_sample(self, key: str, members: dict[str, bytes]) -> None:
        """Add the members of a sample side by side, by suffix."""
        for suffix in sorted(members):
            self.add(f"{key}.{suffix}", members[suffix])

    def close(self) -> None:
        """Write the end-of-archive mark; the file below stays open."""
        self._tar.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
