"""What in the layout of a tar costs samples, although each member is sound: names, places, and what follows the end."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

from datascaler.data.pool.samples import IMAGE_SUFFIXES, Group, group_members, is_of_sample
from datascaler.data.pool.tar import BLOCK_BYTES, Member, scan_pieces, text_of

PASSED_OVER = "members passed over, whose names begin with a dot or have no suffix"
DOTTED = "images whose names have several dots: a sample's key ends at the first"
APART = "samples whose members lie apart: they belong side by side"
BEHIND = "samples behind the end-of-archive mark, as tars have that were joined by cat"
COSTLY = (DOTTED, APART, BEHIND)
"""Those of the four that lose samples."""

_EXAMPLES = 3
_PIECE_BYTES = 1 << 20


@dataclass(slots=True)
class TarLayout:
    """Filled while the members and groups of a tar go by."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    """A few, with what is wrong."""
    _mark: int | None = None
    """Where the mark of the end begins, once it was met."""
    _halves: dict[str, set[str]] = field(default_factory=dict)
    """Key -> suffixes, of samples that lack an image or all else."""
    _apart: set[str] = field(default_factory=set)

    def members(self, file: IO[bytes], base: int = 0) -> Iterator[Member]:
        """The files of a tar, as `walk_tar` gives them."""
        for content, at, scan in scan_pieces(file, base):
            if scan.ended:
                self._mark = at + scan.position
            for name, offset, start, stop, end in scan.entries:
                if not is_of_sample(name):
                    self._note(PASSED_OVER, text_of(name))
                yield Member(text_of(name), at + offset, at + end, content[start:stop])

    def groups(self, groups: Iterator[Group]) -> Iterator[Group]:
        """The same groups."""
        for group in groups:
            self._look_at(group)
            yield group

    def look_behind(self, file: IO[bytes], size: int) -> None:
        """Count the samples of further archives in the same file, which nobody reads."""
        while self._mark is not None:
            start = _next_content(file, self._mark + 2 * BLOCK_BYTES, size)
            self._mark = None
            if start is None:
                return
            file.seek(start)
            behind = TarLayout()
            for group in group_members(behind.members(file, start)):
                for member in list(group.members.values())[:1]:
                    self._note(BEHIND, f"{group.key} at byte {member.offset:,}")
            self._mark = behind._mark

    def _look_at(self, group: Group) -> None:
        suffixes = set(group.members)
        has_image = not suffixes.isdisjoint(IMAGE_SUFFIXES)
        if not has_image:
            for suffix in group.members:
                if suffix.rpartition(".")[2] in IMAGE_SUFFIXES:
                    self._note(DOTTED, f"{group.key}.{suffix}")
        if has_image and len(suffixes) > 1:
            return
        before = self._halves.setdefault(group.key, suffixes)
        if before is not suffixes and before.isdisjoint(suffixes) and group.key not in self._apart:
            self._apart.add(group.key)
            self._note(APART, group.key)

    def _note(self, cause: str, example: str) -> None:
        if self.counts[cause] < _EXAMPLES:
            self.examples.append(f"{example}: {cause}")
        self.counts[cause] += 1


def _next_content(file: IO[bytes], at: int, size: int) -> int | None:
    """Where the first block begins that is not all zeros; None where there is none."""
    while at < size:
        file.seek(at)
        piece = file.read(_PIECE_BYTES)
        if not piece:
            return None
        content = piece.lstrip(b"\0")
        if content:
            return at + (len(piece) - len(content)) // BLOCK_BYTES * BLOCK_BYTES
        at += len(piece)
    return None
