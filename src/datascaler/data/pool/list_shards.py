"""Which tars a data-dir means: a folder, a tar, braces or a glob; and what looks like a shard there and is none.

A folder means `DIR/*.tar` and `DIR/shards/*.tar`, and where neither has a tar, all that lie further down. What is left
out is named: nobody notices a pool that is smaller than it looks.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from itertools import chain, product
from math import prod

from datascaler import storage
from datascaler.errors import ConfigError, StorageError

BEGINS_WITH_DOT = "its name begins with a dot, as of macOS's files beside others"
PACKED = "compressed: unpack it, for parts of it can't be read alone"
DEEPER = "further down than the other shards: give DIR/** to take all"
ABSENT = "not found"
NO_TEXT = "its name is not UTF-8: rename it, for no table can hold it"

_TARS = (".tar", ".Tar", ".TAR")
_PACKED = (
    *(f".tar.{each}" for each in ("gz", "bz2", "xz", "zst", "zstd", "lz4", "lzma", "lz", "Z", "br")),
    *(".tgz", ".tbz", ".tbz2", ".txz", ".tzst"),
)
_LIKE_SHARDS = (*_TARS, *_PACKED)
_RANGE = re.compile(r"\{(\d+|[A-Za-z])\.\.(\d+|[A-Za-z])(?:\.\.(\d+))?\}")
_WILD = "*?["
_HALVES = re.compile("[\ud800-\udfff]")
"""What Python reads for bytes in a name that are no text."""
_LONGEST_NUMBER = 15
_MOST_NAMES = 10_000_000
"""Names that a range may stand for."""


@dataclass(slots=True)
class FoundTars:
    """What a data-dir means."""

    tars: list[storage.FileInfo] = field(default_factory=list)
    passed_over: dict[str, str] = field(default_factory=dict)
    """URL of what looks like a shard -> why it is none of the pool's."""
    is_pattern: bool = False
    """Whether the data-dir has braces or a glob in it."""
    base: str = ""
    """The folder that the shards' names begin below; empty where a name is the whole URL."""

    def sort(self, infos: Iterable[storage.FileInfo], folder: str) -> None:
        """Take the tars among files below a folder; the others are passed over."""
        for info in infos:
            path = storage.relative_to(info.url, folder) if folder else info.url
            if path.startswith(".") or "/." in path:
                self.passed_over[info.url] = BEGINS_WITH_DOT
            elif _HALVES.search(path):
                self.passed_over[info.url] = NO_TEXT
            elif path.endswith(_PACKED):
                self.passed_over[info.url] = PACKED
            else:
                self.tars.append(info)


def find_tars(source: str) -> FoundTars:
    """The tars of one data-dir, in its order. Raises NotFoundError for a single tar that is not there."""
    found = FoundTars()
    members = list(_members_of_lists(source))
    patterns = ""
    for member in members:
        names = _names_of_ranges(member)
        patterns += "{" * (names != [source])
        before = len(found.tars)
        _find_names(names, found)
        # A name may have brackets in it and mean them.
        if len(found.tars) == before and _is_wild(member):
            patterns += _WILD
            for name in names:
                _find_matches(name, found)
        if len(found.tars) == before and len(members) > 1:
            found.passed_over.setdefault(member, ABSENT)
    # Members of a list may overlap.
    found.tars = list({info.url: info for info in found.tars}.values())
    found.is_pattern = bool(patterns)
    if not patterns and is_tar(source):
        # What is named alone is to be there; gaps in a range are normal.
        found.tars = found.tars or [storage.stat(source)]
        found.base = source.rpartition("/")[0]
    else:
        found.base = _folder_before(source, patterns) if patterns else source
    return found


def is_tar(url: str) -> bool:
    """Whether a name is that of a tar."""
    return url.endswith(_TARS)


def _find_names(names: Sequence[str], found: FoundTars) -> None:
    """Names as they stand: all of tars, or of folders."""
    if not all(map(is_tar, names)):
        for name in names:
            _find_in_folder(name, found)
    else:
        found.tars += _present(names)


def _present(names: Sequence[str]) -> list[storage.FileInfo]:
    """Those of many tars that exist, by one listing a folder: ranges of 100,000 shards are common.

    Of a web server each is asked for, since few list their folders.
    """
    if storage.is_http(names[0]) or len(names) == 1:
        return storage.stat_all(names)
    folders: dict[str, dict[str, storage.FileInfo]] = {}
    found = []
    for name in names:
        folder = storage.parent(name)
        if folder not in folders:
            folders[folder] = {storage.basename(info.url): info for info in storage.list_files(folder, _TARS)}
        info = folders[folder].get(storage.basename(name))
        if info:
            found.append(replace(info, url=name))
    return found


def _find_in_folder(folder: str, found: FoundTars) -> None:
    """The tars of a folder and of `shards` in it, in this order; else those further down."""
    if folder.endswith(_PACKED):
        found.passed_over[folder] = PACKED if storage.exists(folder) else ABSENT
        return
    before = len(found.tars)
    files, error = _files_below(folder)
    depths: tuple[list[storage.FileInfo], ...] = [], [], []
    for info in files:
        place = storage.relative_to(info.url, folder).rpartition("/")[0]
        depths[{"": 0, "shards": 1}.get(place, 2)].append(info)
    found.sort(depths[0] + depths[1], folder)
    if len(found.tars) == before:
        if error:
            raise error
        found.sort(depths[2], folder)
        return
    deeper = FoundTars()
    deeper.sort(depths[2], folder)
    found.passed_over |= {info.url: DEEPER for info in deeper.tars} | deeper.passed_over


def _files_below(folder: str) -> tuple[list[storage.FileInfo], StorageError | None]:
    """What looks like a shard below a folder. Where some other folder there can't be looked into, that does not matter
    as long as the pool is not in it: then only the two usual places are listed, and the error is told.
    """
    places = [folder, storage.join(folder, "shards")]
    # A page of links may lead anywhere.
    if storage.is_http(folder):
        return [info for place in places for info in storage.list_files(place, _LIKE_SHARDS)], None
    try:
        return storage.list_files(folder, _LIKE_SHARDS, recursive=True), None
    except StorageError as error:
        return [info for place in places for info in storage.list_files(place, _LIKE_SHARDS)], error


def _find_matches(pattern: str, found: FoundTars) -> None:
    """The tars that a glob means, by their own names or by those of their folders. `*` is any part of a name, and `**`
    any number of folders.
    """
    folder = _folder_before(pattern, _WILD)
    parts = pattern.removeprefix(f"{folder}/" if folder else "").split("/")
    is_flat = storage.is_http(folder) or (len(parts) == 1 and is_tar(pattern))
    matches = []
    for info in storage.list_files(folder or ".", _LIKE_SHARDS, recursive=not is_flat):
        url = info.url if folder else info.url.removeprefix("./")
        path = (storage.relative_to(url, folder) if folder else url).split("/")
        places = [path, path[:-1], path[:-2] if path[-2:-1] == ["shards"] else []]
        if any(place and _matches(place, parts) for place in places):
            matches.append(replace(info, url=url))
    found.sort(matches, folder)


def _matches(path: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether the parts of a path are those that the parts of a glob ask for."""
    if not pattern:
        return not path
    if pattern[0] == "**":
        return _matches(path, pattern[1:]) or (bool(path) and _matches(path[1:], pattern))
    return bool(path) and fnmatchcase(path[0], pattern[0]) and _matches(path[1:], pattern[1:])


def _folder_before(source: str, letters: str) -> str:
    """The folder that ends before the first of the letters."""
    first = min(source.index(letter) for letter in letters if letter in source)
    return source[:first].rpartition("/")[0]


def _is_wild(source: str) -> bool:
    return any(letter in source for letter in _WILD)


def _members_of_lists(source: str) -> Iterator[str]:
    """`{a,b}` -> a and b, also within one another; ranges stay as they are."""
    for start, stop, members in _lists(source):
        for member in members:
            yield from _members_of_lists(source[:start] + member + source[stop:])
        return
    yield source


def _lists(source: str) -> Iterator[tuple[int, int, list[str]]]:
    """Where braces with commas begin and end, and what is between the commas."""
    for start, letter in enumerate(source):
        if letter != "{":
            continue
        depth, commas = 0, [start]
        for at in range(start, len(source)):
            depth += (source[at] == "{") - (source[at] == "}")
            if source[at] == "," and depth == 1:
                commas.append(at)
            if depth == 0:
                if len(commas) > 1:
                    ends = [*commas[1:], at]
                    yield start, at + 1, [source[a + 1 : b] for a, b in zip(commas, ends, strict=True)]
                break


def _names_of_ranges(source: str) -> list[str]:
    """`{00000..00012}` -> its thirteen names, padded as the first number is; `{0..10..2}` and `{a..f}` work too."""
    ranges = [_range(*match.groups()) for match in _RANGE.finditer(source)]
    if prod(len(codes) for codes, _ in ranges) > _MOST_NAMES:
        raise ConfigError(f"{source} stands for more than {_MOST_NAMES:,} names")
    between = _RANGE.sub("\0", source).split("\0")
    values = product(*([form(code) for code in codes] for codes, form in ranges))
    return ["".join(chain.from_iterable(zip(between, (*each, ""), strict=True))) for each in values]


def _range(first: str, last: str, step: str | None) -> tuple[range, Callable[[int], str]]:
    """The numbers of a range and how each is written."""
    if first.isdigit() != last.isdigit():
        raise ConfigError(f"{{{first}..{last}}} is no range: give two numbers or two letters")
    if max(len(first), len(last), len(step or "")) > _LONGEST_NUMBER:
        raise ConfigError(f"{{{first}..{last}}} has numbers of more than {_LONGEST_NUMBER} digits")
    by = max(1, int(step or 1))
    if first.isdigit():
        return range(int(first), int(last) + 1, by), f"{{:0{len(first)}d}}".format
    return range(ord(first), ord(last) + 1, by), chr
