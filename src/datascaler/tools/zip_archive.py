"""What a zip archive announces, compared with its size before any of it is unpacked."""

import zipfile

_SPARE_BYTES = 64 << 20
_MOST_TIMES = 16
"""How much larger the parts may be than the file: weights and vectors are noise, which packing makes little smaller."""
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 1


def require_no_bomb(archive: zipfile.ZipFile, size: int) -> None:
    """Raise ValueError for an archive of `size` bytes whose parts are much larger, or are read by another than by us.

    No part may have the name of another: which of them counts differs among those who read archives.
    """
    parts = archive.infolist()
    unpacked = sum(part.file_size for part in parts)
    if unpacked > max(_SPARE_BYTES, _MOST_TIMES * size):
        raise ValueError(f"its parts announce {unpacked:,} bytes, in a file of {size:,}")
    if len({part.filename for part in parts}) < len(parts):
        raise ValueError("two of its parts have the same name")
    if any(part.flag_bits & _ENCRYPTED for part in parts):
        raise ValueError("it is encrypted")
    if any(part.compress_type not in _METHODS for part in parts):
        raise ValueError("a part is compressed in another way than by deflate")
