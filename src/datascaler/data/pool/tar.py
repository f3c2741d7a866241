"""A reader of tar archives, block by block, that says where each member lies.

Python's tarfile hides offsets behind a per-member cost of 150 us and stops at the first fault. This one walks the
512-byte blocks (POSIX.1-2001 ustar and pax, GNU long names) of a buffer, looks at headers only, verifies their
checksums, and reports a fault with its offset beside everything that was found before it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import IO, NamedTuple
from zlib import adler32

from datascaler.errors import TarDamageError

BLOCK_BYTES = 512
LARGEST_MEMBER_BYTES = 128 << 20
"""A pool's images have some tens of KB; whatever is larger than this is not read into memory."""
LARGEST_EXTENSION_BYTES = 1 << 20
"""All extension headers before one file together: they hold a name and a few times."""
_READ_BYTES = 8 << 20
_ZERO_BLOCK = bytes(BLOCK_BYTES)
_CHECKSUM_BLANK = sum(b" " * 8)
_ADLER_PRIME = 65521
_REGULAR = frozenset(b"\x0007")
_PLAIN = frozenset(b"\x000")
_LINKS_AND_DEVICES = frozenset(b"12346")
_EXTENSIONS = frozenset(b"LKxXg")
_LARGE_EXTENSIONS = f"more than {LARGEST_EXTENSION_BYTES:,} bytes of extension headers before one file"
_LENGTH_DIGITS = 19
_SPARSE = "a sparse member (of tar --sparse), which is not read: pack the tar anew without that option,"
_OTHER_FILES = (
    (b"\x1f\x8b", "a gzip file in place of a tar: unpack it,"),
    (b"BZh", "a bzip2 file in place of a tar: unpack it,"),
    (b"\xfd7zXZ\0", "an xz file in place of a tar: unpack it,"),
    (b"\x28\xb5\x2f\xfd", "a zstd file in place of a tar: unpack it,"),
    (b"PK\3\4", "a zip file in place of a tar: unpack it, and pack it as a tar,"),
    (b"version https://git-lfs", "a pointer of Git LFS in place of a tar: fetch it with git lfs pull,"),
    (b"\0\5\x16\7", "a file of attributes of macOS in place of a tar"),
    (b"<", "a web page in place of a tar: download it again,"),
)
"""What files named .tar turn out to be, by how they begin."""
_TIME_RECORD = re.compile(rb"(\d\d) mtime=[-.0-9]+\n")


class Entry(NamedTuple):
    """A regular file of a buffer; all positions are the buffer's."""

    name: bytes
    """The name as the archive has it, UTF-8 in all but old archives."""
    offset: int
    """Start of its first header, extension headers included."""
    start: int
    stop: int
    """Its content is [start, stop)."""
    end: int
    """Start of whatever follows: `offset` and `end` delimit a piece that is itself a readable archive."""


class Scan(NamedTuple):
    """What a buffer holds."""

    entries: list[Entry]
    position: int
    """Where the first header begins that was not followed to its member's end."""
    ended: bool
    """The end mark of the archive was met."""
    fault: TarDamageError | None
    """Why it can't be followed beyond `position`, if the bytes there are wrong."""
    cut: str
    """What the end of the buffer cut short: "truncated header", "truncated member", or nothing."""
    cut_bytes: int = 0
    """The size of the member that was cut short, as its header has it."""


def scan_tar(content: bytes, base: int = 0) -> Scan:
    """The files of a buffer that begins with a header; faults count their offset from `base`. Contents are not read."""
    entries: list[Entry] = []
    limit = len(content)
    position = member_start = 0
    long_name: bytes | None = None
    pax_size: int | None = None
    try:
        while True:
            start = position + BLOCK_BYTES
            if start > limit:
                cut = "truncated header" if position < limit else ""
                # Only what follows an extension header can be missing whole.
                return Scan(entries, member_start, False, None, cut or ("truncated member" * (position > member_start)))
            header = content[position:start]
            if header == _ZERO_BLOCK:
                return Scan(entries, member_start, True, None, "")
            if adler32(header) & 0xFFFF != _adler_sum(header[148:156]):
                raise TarDamageError("header checksum does not match", position + base)
            kind = header[156]
            if kind == ord("S"):
                raise TarDamageError(_SPARSE, member_start + base)
            size = 0 if kind in _LINKS_AND_DEVICES else _number(header[124:136])
            is_file = kind in _REGULAR
            if is_file and pax_size is not None:
                size = pax_size
            if position - member_start + size * (kind in _EXTENSIONS) > LARGEST_EXTENSION_BYTES:
                raise TarDamageError(_LARGE_EXTENSIONS, member_start + base)
            stop = start + size
            end = stop + -size % BLOCK_BYTES
            if end > limit:
                return Scan(entries, member_start, False, None, "truncated member", size)
            position = end
            if is_file:
                name = long_name or _name(header)
                # Before there was a type for directories, a slash at the end was the sign of one.
                if not name.endswith(b"/"):
                    entries.append(Entry(name, member_start, start, stop, end))
            elif kind == 76:  # L, GNU's long name
                long_name = long_name or content[start:end].partition(b"\0")[0]
                continue
            elif kind in b"xX":
                records = _pax_records(content[start:stop], member_start + base)
                if any(name.startswith(b"GNU.sparse.") for name in records):
                    raise TarDamageError(_SPARSE, member_start + base)
                # Of several such headers before a file the first counts, as in Python's tarfile.
                long_name = long_name or records.get(b"path")
                pax_size = _pax_size(records, member_start + base, pax_size)
                continue
            elif kind in b"gK":
                continue  # global pax headers and long link targets say nothing about the files we want
            long_name = pax_size = None
            member_start = position
    except ValueError:
        return Scan(entries, member_start, False, TarDamageError("not a tar header", position + base), "")
    except TarDamageError as fault:
        return Scan(entries, member_start, False, fault, "")


@dataclass(frozen=True, slots=True)
class Member:
    """A regular file of an archive that is read from its start to its end; positions are the archive's."""

    name: str
    offset: int
    end: int
    data: bytes


def walk_tar(file: IO[bytes], base: int = 0) -> Iterator[Member]:
    """Yield the regular files of a tar from the file's current position; offsets count from `base`.

    Raises TarDamageError, after the members before the fault, for a bad checksum or a truncated member.
    """
    for content, at, scan in scan_pieces(file, base):
        for name, offset, start, stop, end in scan.entries:
            yield Member(text_of(name), at + offset, at + end, content[start:stop])


def scan_pieces(file: IO[bytes], base: int = 0) -> Iterator[tuple[bytes, int, Scan]]:
    """Yield a tar piece by piece: bytes that begin with a header, their offset, and what they hold.

    What a piece has behind its scan's `position` begins the next one. Raises as `walk_tar` does, after the last.
    """
    content, more = b"", _READ_BYTES
    scan: Scan | None = None
    while True:
        piece = file.read(more)
        if piece and scan and scan.cut_bytes > LARGEST_MEMBER_BYTES:
            size = f"a member of {scan.cut_bytes:,} bytes: more than {LARGEST_MEMBER_BYTES:,} are refused"
            raise TarDamageError(size, base)
        content = content + piece if content else piece
        scan = scan_tar(content, base)
        yield content, base, scan
        if scan.ended:
            # The mark is two blocks of zeros: one alone, with more behind it, stands where a header was.
            behind = content[scan.position + BLOCK_BYTES :][:BLOCK_BYTES] or file.read(BLOCK_BYTES)
            if behind[:BLOCK_BYTES].strip(b"\0"):
                raise TarDamageError("zeros in place of a header", base + scan.position)
            return
        if (scan.fault or (scan.cut and not piece)) and not base + scan.position:
            what = next((what for start, what in _OTHER_FILES if content.startswith(start)), "")
            if what:
                raise TarDamageError(what, 0)
        if scan.fault:
            raise scan.fault
        if not piece:
            if scan.cut:
                raise TarDamageError(scan.cut, base + scan.position)
            return
        # A member longer than what was read: twice as much next time, so that it is scanned few times.
        more = _READ_BYTES if scan.position else max(_READ_BYTES, len(content))
        content, base = content[scan.position :], base + scan.position


def plain_header(header: bytes) -> tuple[bytes, int] | None:
    """The name and size of a regular file under a short name, if this is the sound header of one; else ask scan_tar."""
    try:
        if len(header) != BLOCK_BYTES or adler32(header) & 0xFFFF != _adler_sum(header[148:156]):
            return None
        size = _number(header[124:136])
    except ValueError:
        return None
    name = header[:100].partition(b"\0")[0]
    return (name, size) if header[156] in _PLAIN and not header[345] and not name.endswith(b"/") else None


def says_time_only(header: bytes, record: bytes) -> bool:
    """Whether this is the sound header of an extension, and `record` the block behind it that has a time in it and
    nothing else: webdataset's writer puts one before each file.
    """
    if len(header) != BLOCK_BYTES or header[156] != ord("x"):
        return False
    time = _TIME_RECORD.match(record)
    try:
        is_sound = adler32(header) & 0xFFFF == _adler_sum(header[148:156])
        return time is not None and is_sound and int(time[1]) == time.end() == _number(header[124:136])
    except ValueError:
        return False


def text_of(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def raw_of(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


@lru_cache(maxsize=1 << 16)
def _adler_sum(field: bytes) -> int:
    """What the lower half of a header's Adler-32 must be, by its checksum field: 1 + the sum of all bytes, mod 65521.

    The checksum is that sum with the field itself taken for blanks. Adler-32 adds a hundred times faster than Python;
    the two verdicts differ only for a header that more than 256 changed bytes put off by exactly 65521.
    """
    return (1 + _number(field) - _CHECKSUM_BLANK + sum(field)) % _ADLER_PRIME


@lru_cache(maxsize=1 << 16)
def _number(field: bytes) -> int:
    """Octal text, or GNU's base-256 for sizes of 8 GB and more. Raises ValueError for anything else."""
    if field[0] & 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0").partition(b"\0")[0].rstrip()
    if digits.strip(b"01234567"):
        raise ValueError(field)
    return int(digits or b"0", 8)


def _name(header: bytes) -> bytes:
    name = header[:100].partition(b"\0")[0]
    if header[345] and header[257:263] == b"ustar\0":
        return header[345:500].partition(b"\0")[0] + b"/" + name
    return name


def _pax_records(data: bytes, position: int) -> dict[bytes, bytes]:
    """`LENGTH KEY=VALUE\\n` records of an extended header; LENGTH counts the whole record."""
    records = {}
    start = 0
    while start < len(data):
        blank = data.find(b" ", start, start + _LENGTH_DIGITS + 1)
        digits = data[start : max(blank, start)]
        end = start + (int(digits) if digits.isdigit() else 0)
        key, separator, value = data[blank + 1 : end - 1].partition(b"=")
        if not separator or not start + 5 <= end <= len(data) or data[end - 1] != ord("\n"):
            raise TarDamageError("bad pax header", position)
        records[key] = value
        start = end
    return records


def _pax_size(records: dict[bytes, bytes], position: int, before: int | None) -> int | None:
    text = records.get(b"size")
    if text is None:
        return before
    if not (text.isdigit() and len(text) <= _LENGTH_DIGITS):
        raise TarDamageError("bad pax header", position)
    return int(text) if before is None else before
