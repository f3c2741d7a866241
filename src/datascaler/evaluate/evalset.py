"""One evaluation set in DataComp's webdataset layout: what it asks, and its samples in tar order.

classnames.txt, zeroshot_classification_templates.txt    classification only; a blank line is an entry, as in DataComp
dataset_type.txt                                         optional; absent means classification
test/nshards.txt, test/0.tar ... test/<n-1>.tar          KEY.<image suffix> + KEY.cls, or KEY.txt for retrieval
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, cast

from datascaler import storage
from datascaler.data.pool.samples import IMAGE_SUFFIXES, Group, group_members
from datascaler.data.pool.tar import Member, walk_tar
from datascaler.data.pool.text_file import decode_text, split_lines
from datascaler.errors import BadInputError, ConfigError, NotFoundError
from datascaler.evaluate.data_identity import NO_DATA, DataIdentity, HashedFile, identify_set

CLASSIFICATION = "classification"
RETRIEVAL = "retrieval"
PLACEHOLDER = "{c}"
_KIND, _CLASSNAMES, _TEMPLATES = "dataset_type.txt", "classnames.txt", "zeroshot_classification_templates.txt"


@dataclass(frozen=True, slots=True)
class EvalSample:
    key: str
    image: bytes
    """The file as stored; empty where the sample has no image member."""
    label: int = -1
    captions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EvalSet:
    """An opened set: its small files are read and checked, its tars are known to exist."""

    folder: str
    kind: str
    classnames: tuple[str, ...]
    templates: tuple[str, ...]
    shards: tuple[storage.FileInfo, ...]
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
                else:
                    yield EvalSample(key, image, label=_label(shard.url, key, members, len(self.classnames)))


def open_evalset(folder: str) -> EvalSet:
    kind = _kind(folder)
    classnames: list[str] = []
    templates: list[str] = []
    if kind == CLASSIFICATION:
        classnames = _entries(storage.join(folder, _CLASSNAMES))
        url = storage.join(folder, _TEMPLATES)
        templates = _entries(url)
        for template in templates:
            if template and PLACEHOLDER not in template:
                raise ConfigError(f"{url}: template {template!r} has no {PLACEHOLDER} for the class name")
    return EvalSet(folder, kind, tuple(classnames), tuple(templates), tuple(_shards(folder)))


def _kind(folder: str) -> str:
    url = storage.join(folder, _KIND)
    kind = _text(url).strip().lower() if storage.exists(url) else CLASSIFICATION
    if kind not in (CLASSIFICATION, RETRIEVAL):
        raise ConfigError(f"{url}: dataset type must be {CLASSIFICATION} or {RETRIEVAL}, got {kind!r}")
    return kind


def _shards(folder: str) -> list[storage.FileInfo]:
    url = storage.join(folder, "test", "nshards.txt")
    text = _text(url).strip()
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(f"{url}: must hold the number of tars, got {text!r}")
    found = {storage.basename(info.url): info for info in storage.list_files(storage.join(folder, "test"), ".tar")}
    names = [f"{number}.tar" for number in range(int(text))]
    absent = [name for name in names if name not in found]
    if absent:
        raise ConfigError(
            f"{storage.join(folder, 'test', absent[0])}: not found; {url} announces {len(names)} tars and "
            f"{len(absent)} of them are absent: download the set again"
        )
    return [found[name] for name in names]


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
    if raw is None or not raw.isdigit():
        raise ConfigError(f"{url}: sample {key} needs a .cls member with an integer, got {raw!r}")
    label = int(raw)
    if label >= classes:
        raise ConfigError(f"{url}: sample {key} has label {label}, but classnames.txt has {classes} classes")
    return label


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
