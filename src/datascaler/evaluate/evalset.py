"""One evaluation set in DataComp's webdataset layout: what it asks, and its samples in tar order.

classnames.txt, zeroshot_classification_templates.txt    not for retrieval; a blank line is an entry, as in DataComp
dataset_type.txt                                         optional; absent means classification
test/nshards.txt, test/0.tar ... test/<n-1>.tar          KEY.<image suffix> + KEY.cls, or KEY.txt for retrieval

Tasks with groups have KEY.npy too, a vector of integers, and faces have it in place of KEY.cls. A set of the type
"association" has puzzles: KEY.0.<image suffix>, KEY.1.<image suffix>, ... + KEY.json.
"""

import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import IO, cast

import numpy as np

from datascaler import storage
from datascaler.data.pool.samples import IMAGE_SUFFIXES, Group, group_members
from datascaler.data.pool.tar import Member, walk_tar
from datascaler.data.pool.text_file import decode_text, split_lines
from datascaler.errors import BadInputError, ConfigError, NotFoundError, first_line
from datascaler.evaluate.data_identity import NO_DATA, DataIdentity, HashedFile, identify_set
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

    def identity(self, known: DataIdentity = NO_DATA) -> DataIdentity:
        """All that a result depends on. Tars that were not read yet are, unless they look as in `known`."""
        texts = {_KIND: [self.kind], _CLASSNAMES: self.classnames, _TEMPLATES: self.templates}
        return identify_set(texts, self.shards, self.hashes, known)

    def samples(self) -> Iterator[EvalSample]:
        for shard in self.shards:
            for group in _groups(shard.url, self.hashes):
                key, members = group.key, group.members
                image = next((members[suffix].data for suffix in IMAGE_SUFFIXES if suffix in members), b"")
                if self.kind == RETRIEVAL:
                    yield EvalSample(key, image, captions=_captions(shard.url, key, members))
                    continue
                metadata = _metadata(shard.url, key, members, self.metadata_fields)
                label = -1 if self.kind == FACES else _label(shard.url, key, members, len(self.classnames))
                yield EvalSample(key, image, label=label, metadata=metadata)

    def puzzles(self) -> Iterator[Puzzle]:
        for shard in self.shards:
            for group in _groups(shard.url, self.hashes):
                yield _puzzle(shard.url, group.key, group.members)


def open_evalset(folder: str, kind: str = CLASSIFICATION, metadata_fields: int = 0) -> EvalSet:
    """kind: of a set that has no dataset_type.txt. metadata_fields: how many numbers of each .npy are needed."""
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
        hashed = HashedFile(file)
        for group in group_members(walk_tar(cast("IO[bytes]", hashed))):
            if group.damage is not None:
                raise BadInputError(f"{url}: {group.damage}; download it again") from group.damage
            yield group
        hashes[url] = hashed.hash_to_end()


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
        vector = np.load(io.BytesIO(content), allow_pickle=False)
    # What numpy raises for bytes that are no array is its parsers' own: SyntaxError, EOFError, MemoryError and others.
    except Exception as error:
        raise ConfigError(f"{problem}: {first_line(error)}") from error
    if not isinstance(vector, np.ndarray) or vector.ndim != 1 or len(vector) < needed or vector.dtype.kind not in "iuf":
        raise ConfigError(f"{problem}, got {getattr(vector, 'dtype', type(vector).__name__)} {np.shape(vector)}")
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
    suffixes = [[f"{number}.{suffix}" for suffix in IMAGE_SUFFIXES] for number in range(len(candidates))]
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
