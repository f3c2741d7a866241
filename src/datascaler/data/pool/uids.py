"""Sample ids: 32 hex digits in DataComp's json, two unsigned 64-bit integers everywhere in datascaler."""

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

UID_DTYPE = np.dtype("u8,u8")
"""DataComp's subset dtype: fields f0 (digits 0-15) and f1 (digits 16-31); sorted order is the order of the hex."""

_HEX = frozenset("0123456789abcdefABCDEF")


def uid_of(text: str, url: str) -> str:
    """md5(text + url) in hex, the rule by which DataComp's uids were made (reference: cc2dataset)."""
    # An address in a json may hold half a character.
    return hashlib.md5((text + url).encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()


def is_uid(text: object) -> bool:
    return isinstance(text, str) and len(text) == 32 and _HEX.issuperset(text)


def split_uid(uid: str) -> tuple[int, int]:
    return int(uid[:16], 16), int(uid[16:], 16)


def join_uid(high: int, low: int) -> str:
    return f"{high:016x}{low:016x}"


def uid_array(uids: Iterable[str]) -> NDArray[np.void]:
    """Hex ids -> `u8,u8` array of the same length and order."""
    joined = bytes.fromhex("".join(uids))
    return np.frombuffer(joined, dtype=np.dtype(">u8,>u8")).astype(UID_DTYPE)


def uid_pairs(high: NDArray[np.uint64], low: NDArray[np.uint64]) -> NDArray[np.void]:
    pairs = np.empty(len(high), dtype=UID_DTYPE)
    pairs["f0"], pairs["f1"] = high, low
    return pairs


def uid_digests(high: NDArray[np.uint64], low: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """64 bits of each uid [n], to tell the samples of a shard apart in half the space.

    Both halves are stirred (as splitmix64 does it), since uids that people make up may differ in either one alone.
    """
    mixed: NDArray[np.uint64] = high ^ (low * np.uint64(0x9E3779B97F4A7C15))
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ low ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def uid_hex(pairs: NDArray[np.void]) -> list[str]:
    digits = pairs.astype(np.dtype(">u8,>u8")).tobytes().hex()
    return [digits[i : i + 32] for i in range(0, len(digits), 32)]


def sort_order(pairs: NDArray[np.void]) -> NDArray[np.intp]:
    """Stable ascending order. lexsort of two integer columns is several times faster than sorting the records."""
    return np.lexsort((pairs["f1"], pairs["f0"]))


def is_sorted(pairs: NDArray[np.void]) -> bool:
    high, low = pairs["f0"], pairs["f1"]
    rising = (high[:-1] < high[1:]) | ((high[:-1] == high[1:]) & (low[:-1] <= low[1:]))
    return bool(rising.all())


def find_sorted(
    needles: NDArray[np.void], haystack_high: NDArray[np.uint64], haystack_low: NDArray[np.uint64]
) -> NDArray[np.int64]:
    """Position of each needle's first occurrence in the sorted haystack, or -1. Both shapes [n] -> [n].

    The high halves are searched alone (plain integers, vectorised), in ascending order, so that one search finds in
    cache what the last one read; the few needles whose high half is shared by several ids are then walked forward until
    the low half matches.
    """
    order = np.argsort(needles["f0"])
    high, low = needles["f0"][order], needles["f1"][order]
    position = np.searchsorted(haystack_high, high, side="left").astype(np.int64)
    found = np.full(len(needles), -1, dtype=np.int64)
    open_ = np.flatnonzero(position < len(haystack_high))
    while len(open_):
        at = position[open_]
        open_ = open_[haystack_high[at] == high[open_]]
        at = position[open_]
        hit = haystack_low[at] == low[open_]
        found[order[open_[hit]]] = at[hit]
        open_ = open_[~hit & (haystack_low[at] < low[open_])]
        position[open_] += 1
        open_ = open_[position[open_] < len(haystack_high)]
    return found
