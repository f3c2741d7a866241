"""The usual shard at a third of the cost: all headers of a buffer at once, by numpy.

DataComp's tars hold regular files under short names. Webdataset's writer leaves the format to Python, which takes PAX,
so that each file has an extension header with its time of writing to fractions of a second. For these the headers are
found by their magic, verified together, and accepted only if they form one unbroken chain over the whole buffer.
Anything else (other extension headers, directories, damage, an image that contains a tar) is left to `tar.scan_tar`,
which goes header by header.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from datascaler.data.pool.tar import BLOCK_BYTES

_MAGIC_WORD, _MAGIC = 256 // 4, int.from_bytes(b"ust", "little")
"""Where a little-endian word of the header ends with the first letters of its magic, and these."""
_NAME, _KIND, _PREFIX = slice(0, 100), 156, 345
_SIZE, _CHECKSUM = slice(124, 135), slice(148, 154)
"""The digits, without what ends them."""
_CHECKSUM_FIELD = slice(148, 156)
_OCTAL = 8 ** np.arange(10, -1, -1, dtype=np.int64)
"""What the digits of a size count; the last six are those of a checksum."""
_BLANK = np.uint8(ord(" "))
_EXTENSION = ord("x")
_TIME = np.frombuffer(b" mtime=", np.uint8)
_MOST_MEMBERS = 16
"""The most members of a plain sample: more are unusual enough to be looked at one by one."""


class UstarSamples(NamedTuple):
    """The members of a buffer [h], grouped into samples [s]; positions are the buffer's."""

    names: list[bytes]
    begins: list[int]
    """Where the members begin, with their extension headers."""
    contents: list[int]
    """Where their contents begin."""
    sizes: list[int]
    """Bytes of the contents."""
    firsts: list[int]
    """[s + 1]: sample i has the members firsts[i] to firsts[i + 1]."""


def ustar_samples(content: bytes | memoryview) -> UstarSamples | None:
    """The samples of a buffer of whole members in the plain form; None for any other."""
    length = len(content)
    if not length or length % BLOCK_BYTES:
        return None
    words = np.frombuffer(content, "<u4").reshape(-1, BLOCK_BYTES // 4)
    found = np.flatnonzero(words[:, _MAGIC_WORD] >> 8 == _MAGIC)
    headers = words[found].view(np.uint8)
    sizes = _plain_sizes(headers)
    if sizes is None:
        return None
    offsets = found * BLOCK_BYTES
    ends = offsets + BLOCK_BYTES + (sizes + BLOCK_BYTES - 1) // BLOCK_BYTES * BLOCK_BYTES
    if offsets[0] != 0 or ends[-1] != length or (ends[:-1] != offsets[1:]).any():
        return None
    begins = offsets
    extensions = headers[:, _KIND] == _EXTENSION
    if extensions.any():
        files = np.flatnonzero(~extensions)
        if extensions[-1] or not _only_times(words.view(np.uint8)[found[extensions] + 1], sizes[extensions]):
            return None
        # One that follows another is of the same file, which the first one begins.
        begins = offsets[np.concatenate([[0], files[:-1] + 1])]
        headers, offsets, sizes = headers[files], offsets[files], sizes[files]
    names = _narrow(headers[:, _NAME])
    firsts = _first_members(names)
    if firsts is None:
        return None
    contents = offsets + BLOCK_BYTES
    return UstarSamples(_as_texts(names).tolist(), begins.tolist(), contents.tolist(), sizes.tolist(), firsts.tolist())


def _plain_sizes(headers: NDArray[np.uint8]) -> NDArray[np.int64] | None:
    """The sizes [h] of headers [h, 512], if all are sound headers of regular files with a short name, or extensions.

    What ends the digits, and is none of them, must be zeros or blanks.
    """
    if not len(headers):
        return None
    kinds = headers[:, _KIND]
    plain = (
        ((kinds == ord("0")) | (kinds == 0) | (kinds == _EXTENSION)) & (headers[:, _PREFIX] == 0) & (headers[:, 0] != 0)
    )
    # Below zero wraps, so that what is no digit is above 7.
    sizes, checksums = headers[:, _SIZE] - np.uint8(ord("0")), headers[:, _CHECKSUM] - np.uint8(ord("0"))
    ends = headers[:, 135] | headers[:, 154] | headers[:, 155]
    if not plain.all() or (sizes > 7).any() or (checksums > 7).any() or (ends & ~_BLANK).any():
        return None
    # The checksum takes its own field for blanks.
    sums = headers.sum(axis=1, dtype=np.int64) - headers[:, _CHECKSUM_FIELD].sum(axis=1, dtype=np.int64) + 8 * ord(" ")
    # Integers: a product of floats would go to BLAS, whose threads keep a core busy long after it.
    return sizes @ _OCTAL if (sums == checksums @ _OCTAL[-6:]).all() else None


def _only_times(records: NDArray[np.uint8], sizes: NDArray[np.int64]) -> bool:
    """Whether extensions [e, 512] of these sizes [e] say when their files were written and nothing else."""
    first = records[:, :2] - np.uint8(ord("0"))
    lengths = first[:, 0].astype(np.int64) * 10 + first[:, 1]
    # Two digits of the record's length, " mtime=", the time, and a newline.
    if (first > 9).any() or (lengths != sizes).any() or (sizes < 11).any() or (records[:, 2:9] != _TIME).any():
        return False
    digits = records - np.uint8(ord("0")) <= 9
    places = np.arange(records.shape[1])
    inside = (places >= 9) & (places < sizes[:, None] - 1)
    ends = records[np.arange(len(records)), sizes - 1] == ord("\n")
    return bool(ends.all() and (digits | (records == ord(".")) | (records == ord("-")) | ~inside).all())


def _narrow(names: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Names [h, 100], padded with zeros, without columns that are all padding, or some of them."""
    width = next(width for width in (16, 24, 48, names.shape[1]) if not names[:, width:].any())
    return np.ascontiguousarray(names[:, :width])


def _as_texts(names: NDArray[np.uint8]) -> NDArray[np.bytes_]:
    """[h, w] -> [h]: compares by whole names, many times faster than by letters."""
    return names.view(f"S{names.shape[1]}").ravel()


def _first_members(names: NDArray[np.uint8]) -> NDArray[np.int64] | None:
    """Where each sample begins [s + 1], by the names [h, w]; None where that takes a closer look.

    A sample's members stand together and share their name up to the first dot after the last slash.
    """
    # Letters beyond ASCII have cases of their own, and what follows the end of a name is none of it.
    if names.max() > 127 or ((names[:, 1:] != 0) & (names[:, :-1] == 0)).any():
        return None
    places = np.arange(names.shape[1])
    dots, slashes = names == ord("."), names == ord("/")
    if slashes.any():
        dots &= places > np.where(slashes, places, -1).max(axis=1)[:, None]
    key_lengths = dots.argmax(axis=1)
    rows = np.arange(len(names))
    # A name without a suffix, or that begins with a dot, is of no sample.
    if not dots[rows, key_lengths].all() or (key_lengths == 0).any() or slashes[rows, key_lengths - 1].any():
        return None
    keys = _as_texts(names * (places <= key_lengths[:, None]))
    begins = np.concatenate([[True], keys[1:] != keys[:-1]])
    firsts = np.append(np.flatnonzero(begins), len(names))
    return None if _may_repeat(names, np.cumsum(begins), int(np.diff(firsts).max())) else firsts


def _may_repeat(names: NDArray[np.uint8], samples: NDArray[np.int64], most_members: int) -> bool:
    """Whether a sample [h] may have two members of one suffix, which makes them two samples."""
    if most_members > _MOST_MEMBERS:
        return True
    # Letters in lower case; some other characters become equal too, which does no harm.
    folded = _as_texts(names | np.uint8(0x20))
    return any(
        bool(((folded[lag:] == folded[:-lag]) & (samples[lag:] == samples[:-lag])).any())
        for lag in range(1, most_members)
    )
