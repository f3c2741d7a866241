"""The kept rows of a piece of a shard, decided from tar headers alone: what is dropped is neither copied nor parsed.

A plan knows its rows by number, so no json is read for a uid. What is kept is copied: views would hold the whole piece
in memory, and touching new pages for every piece costs more time than the copy.
"""

import json
from collections.abc import Sequence
from typing import NamedTuple

from datascaler.data.samples import IMAGE_SUFFIXES, Sample
from datascaler.data.tar import BLOCK_BYTES, Entry, scan_tar, text_of
from datascaler.data.ustar import UstarSamples, ustar_samples

_IMAGE_SUFFIXES = tuple(suffix.encode() for suffix in IMAGE_SUFFIXES)


_Group = tuple[bytes, int, int, dict[bytes, tuple[int, int]]]
"""A sample in a piece: its key, where it begins and ends, and by suffix where each content is, [start, stop)."""


class Piece(NamedTuple):
    """Bytes [start, end) of a shard, which hold its rows [first_row, end_row)."""

    start: int
    end: int
    first_row: int
    end_row: int


def kept_samples(content: bytes | memoryview, piece: Piece, rows: Sequence[int]) -> tuple[dict[int, Sample], str]:
    """The samples of `rows` (ascending, distinct) by row, from what was read of a piece.

    Rows that are not there, or not as good as they were planned, are left out, and the text says why: the piece is
    damaged or cut short, or it is not the one that the plan was made from.
    """
    wanted = [row - piece.first_row for row in rows]
    groups, count, fault = _wanted_groups(content, piece, wanted)
    if len(content) < piece.end - piece.start:
        fault = f"the shard ends at byte {piece.start + len(content)}"
    elif not fault and count != piece.end_row - piece.first_row:
        return {}, f"other samples than the {piece.end_row - piece.first_row} that were planned"
    found: dict[int, Sample] = {}
    for row, group in zip(rows, groups, strict=False):  # damage may have cost the last ones
        sample = _sample(row, group, piece.start, content)
        if isinstance(sample, Sample):
            found[row] = sample
        else:
            fault = fault or f"row {row} has {sample}"
    return found, "" if len(found) == len(rows) else fault


def _wanted_groups(content: bytes | memoryview, piece: Piece, wanted: list[int]) -> tuple[list[_Group], int, str]:
    """Of the samples of a piece those at `wanted` (as far as there are so many), how many there are, and the fault."""
    plain = ustar_samples(content)
    if plain:
        count = len(plain.firsts) - 1
        return [_plain_group(plain, at) for at in wanted if at < count], count, ""
    scan = scan_tar(bytes(content), piece.start)
    groups = _grouped(scan.entries)
    # A member across the end of a whole piece is no damage: the piece is another one than was planned.
    count = -1 if scan.cut else len(groups)
    return [groups[at] for at in wanted if at < len(groups)], count, str(scan.fault or "")


def _plain_group(samples: UstarSamples, at: int) -> _Group:
    names, offsets, sizes, firsts = samples
    first = firsts[at]
    dot = _dot(names[first])
    spans, stop = {}, 0
    for member in range(first, firsts[at + 1]):
        start = offsets[member] + BLOCK_BYTES
        stop = start + sizes[member]
        spans[names[member][dot + 1 :].lower()] = start, stop
    return names[first][:dot], offsets[first], stop + -stop % BLOCK_BYTES, spans


def _grouped(entries: list[Entry]) -> list[_Group]:
    """The samples, grouped as `samples.read_samples` groups them."""
    groups: list[_Group] = []
    current, first, spans = b"", 0, dict[bytes, tuple[int, int]]()
    for name, offset, start, stop, end in entries:
        dot = _dot(name)
        key, suffix = name[:dot], name[dot + 1 :].lower()
        if groups and key == current and suffix not in spans:
            groups.pop()
        else:
            current, first, spans = key, offset, {}
        spans[suffix] = start, stop
        groups.append((key, first, end, spans))
    return groups


def _dot(name: bytes) -> int:
    """Where the key ends: at the first dot after the last slash, or at the end."""
    dot = name.find(b".", name.rfind(b"/") + 1)
    return dot if dot >= 0 else len(name)


def _sample(row: int, group: _Group, base: int, content: bytes | memoryview) -> Sample | str:
    """The sample, or what is wrong with it."""
    key, offset, end, spans = group
    start, stop = spans.get(b"jpg") or next((spans[suffix] for suffix in _IMAGE_SUFFIXES if suffix in spans), (0, 0))
    if start == stop:
        return "no image"
    try:
        caption = _caption(spans, content)
    except (ValueError, KeyError, TypeError) as error:
        return f"no caption ({type(error).__name__}: {error})"
    return Sample(row, text_of(key), base + offset, end - offset, (0, 0), bytes(content[start:stop]), caption)


def _caption(spans: dict[bytes, tuple[int, int]], content: bytes | memoryview) -> str:
    if b"txt" in spans:
        start, stop = spans[b"txt"]
        return str(content[start:stop], "utf-8")
    start, stop = spans[b"json"]
    caption = json.loads(bytes(content[start:stop]))["caption"]
    if not isinstance(caption, str):
        raise TypeError(f"caption is {caption!r}")
    return caption
