"""One evaluation set in DataComp's webdataset layout: what it asks, and its samples in tar order.

classnames.txt, zeroshot_classification_templates.txt    not for retrieval; a blank line is an entry, as in DataComp
dataset_type.txt                                         optional; absent means classification
test/nshards.txt, test/0.tar ... test/<n-1>.tar          KEY.<image suffix> + KEY.cls, or KEY.txt for retrieval

Tasks with groups have KEY.npy too, a vector of integers, and faces have it in place of KEY.cls. A set of the type
"association" has puzzles: KEY.0.<image suffix>, KEY.1.<image suffix>, ... + KEY.json.

Members are read as DataComp's evaluation reads them, by webdataset and CLIP_benchmark: a key ends at the first dot
after the last slash, suffixes are lower-cased, of several images of a sample the first of webp, png, jpg and jpeg
counts, and what is of no sample by its name is passed over. Tars may be compressed. What they refuse is refused here,
by its name.
"""

import bz2
import gzip
import io
import json
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import IO, Any, cast

from datascaler import storage
from datascaler.data.pool.samples import IMAGE_SUFFIXES, Group, group_members
from datascaler.data.pool.tar import Member, raw_of, walk_tar
from datascaler.data.pool.text_file import decode_text, split_lines
from datascaler.data.tables.npy_files import load_npy
from datascaler.errors import BadInputError, ConfigError, NotFoundError, TarDamageError, first_line
from datascaler.evaluate.data_identity import NO_DATA, DataIdentity, HashedFile, identify_set
from datascaler.evaluate.hub.homes import TABLE_SETS
from datascaler.evaluate.hub.stored_set import StoredSet, open_stored
from datascaler.safe_text import shown

CLASSIFICATION = "classification"
RETRIEVAL = "retrieval"
ASSOCIATION = "association"
FACES = "faces"
_STORED_KINDS = (CLASSIFICATION, RETRIEVAL, ASSOCIATION)
"""The types that a dataset_type.txt may name."""
PLACEHOLDER = "{c}"
_NUMBER = re.compile(r"[0-9]{1,9}")
_SHARD = re.compile(r"(?:0|[1-9][0-9]{0,8})\.tar")
_KIND, _CLASSNAMES, _TEMPLATES = "dataset_type.txt", "classnames.txt", "zeroshot_classification_templates.txt"
_SUFFIXES = tuple(dict.fromkeys(("webp", "png", "jpg", "jpeg", *IMAGE_SUFFIXES)))
"""The suffixes of images, in the order in which one counts; DataComp's evaluation knows the first four."""
_META = re.compile(r"__[^/]*__($|/)")
"""Members that webdataset's own tools keep notes in."""
_COMPRESSED: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\0": lzma.LZMAFile,
}
"""How a compressed tar begins, and what unpacks it."""
_LARGEST_VECTOR_BYTES = 1 << 16
_LARGEST_NUMBER = (1 << 31) - 1


@dataclass(frozen=True, slots=True)
class EvalSample:
    key: str
    image: bytes
    """The file as stored; empty where the sample has no image member."""
    label: int = -1
    captions: tuple[str, ...] = ()
    metadata: tuple[int, ...] = ()
    """The first numbers of the .npy, as many as the task needs."""


@dataclass(frozen=True, slots=True)
class Puzzle:
    """A cue, and the images of its candidates, of which some go with it."""

    key: str
    cue: str
    images: tuple[bytes, ...]
    """The images as they are stored; empty where a candidate has none."""
    goes: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class EvalSet:
    """An opened set: its small files are read and checked, its tars are known to exist."""

    folder: str
    kind: str
    classnames: tuple[str, ...]
    templates: tuple[str, ...]
    shards: tuple[storage.FileInfo, ...]
    metadata_fields: int = 0
    """How many numbers of each sample's .npy are needed."""
    hashes: dict[str, str] = field(default_factory=dict, compare=False)
    """URL -> sha256 of the tars that `samples` has read to their end."""
    stored: StoredSet | None = None
    """What it is in place of tars: a table beside its images."""

    def identity(self, known: DataIdentity = NO_DATA) -> DataIdentity:
        """All that a result depends on. Tars that were not read yet are, unless they look as in `known`."""
        texts = {_KIND: [self.kind], _CLASSNAMES: self.classnames, _TEMPLATES: self.templates}
        return identify_set(texts, self.shards, self.hashes, known)

    def samples(self) -> Iterator[EvalSample]:
        if self.stored:
            yield from (EvalSample(row.key, row.images[0], captions=row.captions) for row in self.stored.rows())
            return
        for shard in self.shards:
            for group in self._groups(shard.url):
                key, members = _printable(group.key), group.members
                image = _image(members)
                if self.kind == RETRIEVAL:
                    yield EvalSample(key, image, captions=_captions(shard.url, key, members))
                    continue
                metadata = _metadata(shard.url, key, members, self.metadata_fields)
                label = -1 if self.kind == FACES else _label(shard.url, key, members, len(self.classnames))
                yield EvalSample(key, image, label=label, metadata=metadata)

    def puzzles(self) -> Iterator[Puzzle]:
        if self.stored:
            yield from (Puzzle(row.key, row.cue, row.images, row.goes) for row in self.stored.rows())
            return
        for shard in self.shards:
            for group in self._groups(shard.url):
                yield _puzzle(shard.url, _printable(group.key), group.members)

    def _groups(self, url: str) -> Iterator[Group]:
        """The samples of a tar, whose hash is known once it was read to its end.

        Raises BadInputError for a tar that holds none, or one of them twice.
        """
        previous: str | None = None
        seen: set[str] = set()
        for group in _groups(url, self.hashes):
            # A second group of its key begins where a suffix comes again, which webdataset refuses. And an image that
            # comes once for each of its captions would be several images that compete.
            if group.key == previous or group.key in seen:
                remedy = "give an image once, with a caption a line" if self.kind == RETRIEVAL else "pack the tar anew"
                raise BadInputError(f"{url}: sample {_printable(group.key)} comes twice: {remedy}")
            previous = group.key
            if self.kind == RETRIEVAL:
                seen.add(group.key)
            yield group
        if previous is None:
            raise BadInputError(f"{url}: holds no sample; download it again")


def open_evalset(folder: str, kind: str = CLASSIFICATION, metadata_fields: int = 0, *, key: str = "") -> EvalSet:
    """kind: of a set that has no dataset_type.txt. metadata_fields: how many numbers of each .npy are needed. key: of
    the task, whose set may be stored in another form.
    """
    tables = TABLE_SETS.get(key)
    if tables and not storage.exists(storage.join(folder, "test")):
        stored = open_stored(folder, tables)
        return EvalSet(folder, stored.kind, (), (), stored.files, stored=stored)
    kind = _kind(folder, kind)
    classnames: list[str] = []
    templates: list[str] = []
    if kind in (CLASSIFICATION, FACES):
        classnames = _entries(storage.join(folder, _CLASSNAMES))
        url = storage.join(folder, _TEMPLATES)
        templates = _entries(url)
        for template in templates:
            if template and PLACEHOLDER not in template:
                raise ConfigError(f"{url}: template {shown(template)} has no {PLACEHOLDER} for the class name")
    return EvalSet(folder, kind, tuple(classnames), tuple(templates), tuple(_shards(folder)), metadata_fields)


def _kind(folder: str, default: str) -> str:
    url = storage.join(folder, _KIND)
    if not storage.exists(url):
        return default
    kind = _text(url).strip().lower()
    if kind not in _STORED_KINDS:
        known = " or ".join((", ".join(_STORED_KINDS[:-1]), _STORED_KINDS[-1]))
        raise ConfigError(f"{url}: dataset type must be {known}, got {shown(kind)}")
    return kind


def _shards(folder: str) -> list[storage.FileInfo]:
    url = storage.join(folder, "test", "nshards.txt")
    text = _text(url).strip()
    if not _NUMBER.fullmatch(text) or int(text) < 1:
        raise ConfigError(f"{url}: must hold the number of tars, got {shown(text)}")
    announced = int(text)
    found = {storage.basename(info.url): info for info in storage.list_files(storage.join(folder, "test"), ".tar")}
    # Counted by what is there: a file may announce any number.
    names = {name for name in found if _SHARD.fullmatch(name) and int(name.removesuffix(".tar")) < announced}
    if len(names) < announced:
        first = next(name for number in count() if (name := f"{number}.tar") not in names)
        raise ConfigError(
            f"{storage.join(folder, 'test', first)}: not found; {url} announces {announced} tars and "
            f"{announced - len(names)} of them are absent: download the set again"
        )
    return [found[f"{number}.tar"] for number in range(announced)]


def _groups(url: str, hashes: dict[str, str]) -> Iterator[Group]:
    """The samples of a tar, whose hash is in `hashes` once it was read to its end."""
    with storage.open_read(url) as file:
        start = file.read(8)
        file.seek(0)
        hashed = HashedFile(file)
        unpack = next((unpack for mark, unpack in _COMPRESSED.items() if start.startswith(mark)), None)
        try:
            for group in group_members(_members(unpack(hashed) if unpack else cast("IO[bytes]", hashed))):
                if group.damage is not None:
                    raise BadInputError(f"{url}: {_with_remedy(group.damage)}") from group.damage
                yield group
        except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
            if unpack is None:
                raise
            raise BadInputError(f"{url}: it can't be unpacked ({first_line(error)}); download it again") from error
        hashes[url] = hashed.hash_to_end()


def _with_remedy(damage: TarDamageError) -> str:
    """What is wrong with a tar, and what to do: another file in its place, as a zip, brings a remedy of its own."""
    return damage.reason.rstrip(",") if ": " in damage.reason else f"{damage}; download it again"


def _members(file: IO[bytes]) -> Iterator[Member]:
    return (member for member in walk_tar(file) if not _META.match(member.name))


def _image(members: dict[str, Member]) -> bytes:
    return next((members[suffix].data for suffix in _SUFFIXES if suffix in members), b"")


def _printable(key: str) -> str:
    """The key as text that can be stored, whatever bytes its name has in the tar."""
    return raw_of(key).decode("utf-8", "backslashreplace")


def _label(url: str, key: str, members: dict[str, Member], classes: int) -> int:
    raw = members["cls"].data.strip() if "cls" in members else None
    if raw is None or not _NUMBER.fullmatch(raw.decode("utf-8", "replace")):
        raise ConfigError(f"{url}: sample {key} needs a .cls member with an integer, got {shown(raw)}")
    label = int(raw)
    if label >= classes:
        raise ConfigError(f"{url}: sample {key} has label {label}, but classnames.txt has {classes} classes")
    return label


def _metadata(url: str, key: str, members: dict[str, Member], needed: int) -> tuple[int, ...]:
    """The first numbers of a sample's .npy."""
    if not needed:
        return ()
    content = members["npy"].data if "npy" in members else b""
    problem = f"{url}: sample {key} needs a .npy member with a vector of at least {needed} integers"
    if not content or len(content) > _LARGEST_VECTOR_BYTES:
        raise ConfigError(f"{problem}, got {len(content)} bytes")
    try:
        vector = load_npy(io.BytesIO(content))
    # What numpy raises for bytes that are no array is its parsers' own: SyntaxError, EOFError, MemoryError and others.
    except Exception as error:
        raise ConfigError(f"{problem}: {first_line(error)}") from error
    if vector.ndim != 1 or len(vector) < needed or vector.dtype.kind not in "iuf":
        raise ConfigError(f"{problem}, got {vector.dtype} {vector.shape}")
    numbers = vector[:needed].tolist()
    if not all(0 <= number <= _LARGEST_NUMBER and number == int(number) for number in numbers):
        raise ConfigError(f"{problem}, from 0 to {_LARGEST_NUMBER}, got {numbers}")
    return tuple(int(number) for number in numbers)


def _puzzle(url: str, key: str, members: dict[str, Member]) -> Puzzle:
    problem = f"{url}: sample {key} needs a .json member with a cue, candidates, and which of them are its associations"
    try:
        record = json.loads(members["json"].data)
        cue, candidates, associations = (record[name] for name in ("cue", "candidates", "associations"))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ConfigError(problem) from error
    if not (isinstance(cue, str) and cue.strip() and _is_names(candidates) and _is_names(associations)):
        raise ConfigError(problem)
    goes = tuple(name in associations for name in candidates)
    if not any(goes) or not set(associations) <= set(candidates):
        raise ConfigError(f"{url}: sample {key}: its associations {associations} must be some of its candidates")
    suffixes = [[f"{number}.{suffix}" for suffix in _SUFFIXES] for number in range(len(candidates))]
    images = (next((members[name].data for name in names if name in members), b"") for names in suffixes)
    return Puzzle(key, cue.strip(), tuple(images), goes)


def _is_names(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(name, str) for name in value)


def _captions(url: str, key: str, members: dict[str, Member]) -> tuple[str, ...]:
    """One a line; a blank one is a caption too, which counts in the recall of DataComp's code."""
    text = decode_text(members["txt"].data, f"{url}: the .txt of sample {key}") if "txt" in members else ""
    captions = tuple(line.strip() for line in split_lines(text))
    if not any(captions):
        raise ConfigError(f"{url}: sample {key} needs a .txt member with a caption a line")
    return captions


def _entries(url: str) -> list[str]:
    """All lines without the blanks around them: the number of a line is a label, so none is left out."""
    lines = [line.strip() for line in split_lines(_text(url))]
    if not any(lines):
        raise ConfigError(f"{url}: holds no entries")
    return lines


def _text(url: str) -> str:
    try:
        return decode_text(storage.read_bytes(url), url)
    except NotFoundError as error:
        raise ConfigError(f"{url}: not found; the evaluation set is not complete: download it again") from error
