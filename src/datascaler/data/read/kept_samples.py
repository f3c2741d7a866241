"""The kept rows of a piece of a shard, decided from tar headers alone: what is dropped is neither copied nor parsed.

A plan knows its rows by number, so no json is read for a uid. What is kept is copied: views would hold the whole piece
in memory, and touching new pages for every piece costs more time than the copy.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from datascaler.data.pool.samples import (
    IMAGE_SUFFIXES,
    OK,
    Group,
    Sample,
    decode_caption,
    is_of_sample,
    key_length_of,
    sample_of,
)
from datascaler.data.pool.tar import BLOCK_BYTES, Entry, Member, raw_of, scan_tar, text_of
from datascaler.data.pool.ustar import UstarSamples, ustar_samples

_IMAGE_SUFFIXES = tuple(suffix.encode() for suffix in IMAGE_SUFFIXES)
_FEW_SAMPLES = 12
"""Up to so many are found sooner header by header: a call of numpy costs as much for one as for a hundred."""


Spans = tuple[bytes, int, int, dict[bytes, tuple[int, int]]]
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
    damaged or cut short, or it is not the one that the plan was made from. Samples before a fault are those that were
    planned; where all can be followed and there are more or fewer of them, none is known to be.
    """
    planned = piece.end_row - piece.first_row
    there = FoundSamples(content, piece.start, are_few=planned <= _FEW_SAMPLES)
    # A piece ends with a sample, so a mark of the end is zeros where a header was.
    fault = there.fault or "the tar ends before its last sample" * there.is_ended
    if len(content) < piece.end - piece.start:
        fault = f"the shard ends at byte {piece.start + len(content)}"
    elif there.is_cut or (not fault and there.count != planned):
        # A member across the end of a whole piece is no damage: the piece is another one than was planned.
        return {}, f"other samples than the {planned} that were planned"
    found: dict[int, Sample] = {}
    for row in rows:
        at = row - piece.first_row
        if at >= there.count:
            break
        sample = _sample(row, there.spans(at), piece.start, content)
        if sample.status == OK:
            found[row] = sample
        else:
            fault = fault or f"row {row}: {sample.status} ({sample.detail})"
    return found, "" if len(found) == len(rows) else fault


def kept_in_pieces(
    contents: Iterable[bytes | memoryview], pieces: Sequence[Piece], rows: Sequence[int]
) -> tuple[dict[int, Sample], str]:
    """The same from several pieces, in the order of their rows."""
    found: dict[int, Sample] = {}
    fault, at = "", 0
    for content, piece in zip(contents, pieces, strict=True):
        first = at
        while at < len(rows) and rows[at] < piece.end_row:
            at += 1
        good, wrong = kept_samples(content, piece, rows[first:at])
        found |= good
        fault = fault or wrong
    return found, fault


class FoundSamples:
    """The samples of bytes that begin with a header, found by their headers and grouped as `read_samples` does it."""

    def __init__(self, content: bytes | memoryview, base: int, *, are_few: bool = False) -> None:
        """`base` is where the content begins, for messages."""
        self._plain = None if are_few else ustar_samples(content)
        self._grouped: list[Spans] = []
        self.fault = ""
        """Why the content can't be followed to its end, if its bytes are wrong."""
        self.is_cut = self.is_ended = False
        """Whether the end of the content cuts a member, and whether the mark of a tar's end was met."""
        if self._plain:
            self.count = len(self._plain.firsts) - 1
            return
        scan = scan_tar(bytes(content), base)
        self._grouped = _grouped(scan.entries)
        self.count = len(self._grouped)
        self.fault, self.is_cut, self.is_ended = str(scan.fault or ""), bool(scan.cut), scan.ended

    def spans(self, at: int) -> Spans:
        return _plain_group(self._plain, at) if self._plain else self._grouped[at]


def _plain_group(samples: UstarSamples, at: int) -> Spans:
    names, begins, contents, sizes, firsts = samples
    first = firsts[at]
    dot = key_length_of(names[first])
    spans, stop = {}, 0
    for member in range(first, firsts[at + 1]):
        start = contents[member]
        stop = start + sizes[member]
        spans[names[member][dot + 1 :].lower()] = start, stop
    return names[first][:dot], begins[first], stop + -stop % BLOCK_BYTES, spans


def _grouped(entries: list[Entry]) -> list[Spans]:
    groups: list[Spans] = []
    current, first, spans = b"", 0, dict[bytes, tuple[int, int]]()
    for name, offset, start, stop, end in entries:
        if not is_of_sample(name):
            continue
        dot = key_length_of(name)
        key, suffix = name[:dot], name[dot + 1 :]
        suffix = suffix.lower() if suffix.isascii() else raw_of(text_of(suffix).lower())
        if groups and key == current and suffix not in spans:
            groups.pop()
        else:
            current, first, spans = key, offset, {}
        spans[suffix] = start, stop
        groups.append((key, first, end, spans))
    return groups


def _sample(row: int, spans: Spans, base: int, content: bytes | memoryview) -> Sample:
    """The sample, whose json is read only where it holds the caption: the table had it parsed."""
    key, offset, end, members = spans
    start, stop = members.get(b"jpg") or next((members[each] for each in _IMAGE_SUFFIXES if each in members), (0, 0))
    try:
        text_start, text_stop = members[b"txt"]
        caption = decode_caption(content[text_start:text_stop])
    except (KeyError, UnicodeDecodeError):
        return judged(row, spans, base, content)
    if start == stop:
        return judged(row, spans, base, content)
    return Sample(row, text_of(key), base + offset, end - offset, (0, 0), bytes(content[start:stop]), caption)


def judged(row: int, spans: Spans, base: int, content: bytes | memoryview) -> Sample:
    """The sample with its status, as scoring has it, and its uid, but for one that is made of the shard's name."""
    key, offset, end, members = spans
    named = {
        text_of(suffix): Member(text_of(key + b"." + suffix), base + offset, base + end, bytes(content[start:stop]))
        for suffix, (start, stop) in members.items()
    }
    return sample_of(row, Group(text_of(key), named))
