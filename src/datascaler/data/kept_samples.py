"""The kept rows of a piece of a shard, decided from tar headers alone: what is dropped is neither copied nor parsed.

A plan knows its rows by number, so no json is read for a uid; images are views into the piece.
"""

import json
from collections.abc import Sequence
from typing import NamedTuple

from datascaler.data.samples import IMAGE_SUFFIXES, Sample
from datascaler.data.tar import Entry, scan_tar, text_of

_IMAGE_SUFFIXES = tuple(suffix.encode() for suffix in IMAGE_SUFFIXES)

_Group = dict[bytes, Entry]
"""The members of a sample, by suffix."""


class Piece(NamedTuple):
    """Bytes [start, end) of a shard, which hold its rows [first_row, end_row)."""

    start: int
    end: int
    first_row: int
    end_row: int


def kept_samples(content: bytes, piece: Piece, rows: Sequence[int]) -> tuple[dict[int, Sample], str]:
    """The samples of `rows` (ascending, distinct) by row, from what was read of a piece.

    Rows that are not there, or not as good as they were planned, are left out, and the text says why: the piece is
    damaged or cut short, or it is not the one that the plan was made from.
    """
    scan = scan_tar(content, piece.start)
    groups = _groups(scan.entries)
    planned = piece.end_row - piece.first_row
    damage = str(scan.fault or "")
    if len(content) < piece.end - piece.start:
        damage = damage or f"the shard ends at byte {piece.start + len(content)}"
    elif not damage and (scan.cut or len(groups) != planned):
        return {}, f"other samples than the {planned} that were planned"
    base, first_row = piece.start, piece.first_row
    view = memoryview(content)
    found: dict[int, Sample] = {}
    fault = damage
    for row in rows:
        if row - first_row >= len(groups):
            break
        sample = _sample(row, groups[row - first_row], base, view)
        if isinstance(sample, Sample):
            found[row] = sample
        else:
            fault = fault or f"row {row} has {sample}"
    return found, "" if len(found) == len(rows) else fault


def _groups(entries: list[Entry]) -> list[_Group]:
    """The samples, grouped as `samples.read_samples` groups them."""
    groups: list[_Group] = []
    current = None
    group: _Group = {}
    for entry in entries:
        name = entry[0]
        dot = name.find(b".", name.rfind(b"/") + 1)
        key, suffix = (name[:dot], name[dot + 1 :].lower()) if dot >= 0 else (name, b"")
        if key != current or suffix in group:
            current, group = key, {}
            groups.append(group)
        group[suffix] = entry
    return groups


def _sample(row: int, group: _Group, base: int, view: memoryview) -> Sample | str:
    """The sample, or what is wrong with it."""
    image = next((group[suffix] for suffix in _IMAGE_SUFFIXES if suffix in group), None)
    if image is None or image.start == image.stop:
        return "no image"
    try:
        caption = _caption(group, view)
    except (ValueError, KeyError, TypeError) as error:
        return f"no caption ({type(error).__name__}: {error})"
    members = list(group.values())
    offset, key = members[0].offset, text_of(image.name[: image.name.find(b".", image.name.rfind(b"/") + 1)])
    return Sample(row, key, base + offset, members[-1].end - offset, (0, 0), view[image.start : image.stop], caption)


def _caption(group: _Group, view: memoryview) -> str:
    text = group.get(b"txt")
    if text is not None:
        return str(view[text.start : text.stop], "utf-8")
    record = group[b"json"]
    caption = json.loads(bytes(view[record.start : record.stop]))["caption"]
    if not isinstance(caption, str):
        raise TypeError(f"caption is {caption!r}")
    return caption
