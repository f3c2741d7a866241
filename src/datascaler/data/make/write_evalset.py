"""Write an evaluation set in DataComp's webdataset layout; test/nshards.txt, the manifest, is written last.

OUT/classnames.txt                            one a line; the line number is the label
OUT/zeroshot_classification_templates.txt     one a line, with {c} where the class name goes
OUT/dataset_type.txt                          "retrieval"; absent for classification
OUT/test/0.tar ...                            s0000000.png + s0000000.cls (or .txt: a caption a line)
OUT/tasklist.yml                              its row of a task list, by which `datascaler eval` finds it
OUT/test/nshards.txt
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeVar

from datascaler import storage
from datascaler.data.pool.images import decode_rgb
from datascaler.data.pool.pool_rows import STORED_FORMATS
from datascaler.data.pool.write_tar import TarWriter
from datascaler.errors import ConfigError, ImageDecodeError

CLASS_FOLDERS = "class_folders.csv"
"""Beside a set made from folders: label, folder, name and images of each class."""
DEFAULT_TEMPLATES = ("a photo of a {c}.",)
DEFAULT_IMAGES_PER_SHARD = 10_000
Truth = TypeVar("Truth")
SUFFIXES = (*STORED_FORMATS.values(), "jpeg")


@dataclass(frozen=True, slots=True)
class EvalsetWritten:
    output_dir: str
    shards: int
    images: int
    classes: int
    """0 for retrieval."""
    captions: int
    """0 for classification."""
    failures: dict[str, int]
    """Why an image was left out -> how many were."""
    failure_examples: dict[str, str]
    """The same -> the first of them, and all that was wrong."""
    images_by_label: tuple[int, ...] = ()
    class_folders: tuple[dict[str, Any], ...] = ()
    """What a set made from folders has: label, folder, name and images of each class."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Folder that is no class, as .ipynb_checkpoints, or one without images -> the images in it."""


@dataclass(slots=True)
class _Tally:
    images: int = 0
    captions: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)
    labels: Counter[int] = field(default_factory=Counter)

    def fail(self, message: str, name: str) -> None:
        reason = message.partition(":")[0]
        self.failures[reason] = self.failures.get(reason, 0) + 1
        self.examples.setdefault(reason, f"{name} ({message})")


def write_classification_set(
    output_dir: str,
    items: Iterable[tuple[bytes, str, int]],
    classnames: Sequence[str],
    templates: Sequence[str] = DEFAULT_TEMPLATES,
    *,
    images_per_shard: int = DEFAULT_IMAGES_PER_SHARD,
    overwrite: bool = False,
    files: Sequence[str] = (),
) -> EvalsetWritten:
    """Items are (encoded image, suffix, label); an image that does not decode is left out and counted.

    files: the items' names, to tell of those that are left out.
    """
    names = [_joined(name) for name in classnames]
    lines = [_one_line(template, "template") for template in templates]
    for template in lines:
        if "{c}" not in template:
            raise ConfigError(f"a template needs the placeholder {{c}} for the class name, got {template!r}")
    if not any(names) or not lines:
        raise ConfigError("an evaluation set needs at least one class with a name and one template")

    def label_member(label: int) -> tuple[str, bytes]:
        if not 0 <= label < len(names):
            raise ConfigError(f"labels go from 0 to {len(names) - 1}, the number of class names, got {label}")
        tally.labels[label] += 1
        return "cls", str(label).encode()

    tally = _Tally()
    _start(output_dir, images_per_shard, overwrite)
    storage.publish_text(storage.join(output_dir, "classnames.txt"), "\n".join(names) + "\n")
    storage.publish_text(storage.join(output_dir, "zeroshot_classification_templates.txt"), "\n".join(lines) + "\n")
    shards = _write_shards(output_dir, _members(items, label_member, tally, files), images_per_shard, tally)
    _finish(output_dir, shards, {"size": tally.images, "num_classes": len(names), "main_metric": "acc1"})
    by_label = tuple(tally.labels[label] for label in range(len(names)))
    return EvalsetWritten(output_dir, shards, tally.images, len(names), 0, tally.failures, tally.examples, by_label)


def write_retrieval_set(
    output_dir: str,
    items: Iterable[tuple[bytes, str, Sequence[str]]],
    *,
    images_per_shard: int = DEFAULT_IMAGES_PER_SHARD,
    overwrite: bool = False,
    files: Sequence[str] = (),
) -> EvalsetWritten:
    """Items are (encoded image, suffix, its captions); `files` as of classification."""
    tally = _Tally()

    def caption_member(captions: Sequence[str]) -> tuple[str, bytes]:
        lines = [_one_line(caption, "caption") for caption in captions]
        if not lines:
            raise ConfigError("an image of a retrieval set needs at least one caption")
        tally.captions += len(lines)
        return "txt", "\n".join(lines).encode()

    _start(output_dir, images_per_shard, overwrite)
    storage.publish_text(storage.join(output_dir, "dataset_type.txt"), "retrieval\n")
    shards = _write_shards(output_dir, _members(items, caption_member, tally, files), images_per_shard, tally)
    _finish(output_dir, shards, {"size": tally.images, "main_metric": "mean_recall@1"})
    return EvalsetWritten(output_dir, shards, tally.images, 0, tally.captions, tally.failures, tally.examples)


def _members(
    items: Iterable[tuple[bytes, str, Truth]],
    truth_member: Callable[[Truth], tuple[str, bytes]],
    tally: _Tally,
    files: Sequence[str],
) -> Iterator[dict[str, bytes]]:
    for number, (image, suffix, truth) in enumerate(items):
        name = files[number] if files else f"image {number}"
        if suffix.lower() not in SUFFIXES:
            tally.fail(f"not jpg, png or webp: {suffix or 'unknown format'}", name)
            continue
        try:
            decode_rgb(image)
        except ImageDecodeError as error:
            tally.fail(f"image does not decode: {error}", name)
            continue
        truth_suffix, content = truth_member(truth)
        tally.images += 1
        yield {suffix.lower(): image, truth_suffix: content}


def _write_shards(output_dir: str, samples: Iterator[dict[str, bytes]], images_per_shard: int, tally: _Tally) -> int:
    shard = number = 0
    first = next(samples, None)
    if first is None:
        left_out = "; ".join(f"{count:,} like {tally.examples[reason]}" for reason, count in tally.failures.items())
        raise ConfigError(f"there are no images to write to {output_dir}{left_out and f': left out are {left_out}'}")
    while first is not None:
        with storage.publish(storage.join(output_dir, "test", f"{shard}.tar")) as file, TarWriter(file) as tar:
            tar.add_sample(f"s{number:07d}", first)
            number += 1
            for members in islice(samples, images_per_shard - 1):
                tar.add_sample(f"s{number:07d}", members)
                number += 1
        shard += 1
        first = next(samples, None)
    return shard


def _start(output_dir: str, images_per_shard: int, overwrite: bool) -> None:
    if images_per_shard < 1:
        raise ConfigError(f"images-per-shard must be at least 1, got {images_per_shard}")
    if storage.list_files(output_dir, recursive=True) and not overwrite:
        raise ConfigError(f"{output_dir} is not empty; choose a new --output-dir, or add --overwrite")
    storage.check_writable(output_dir)
    # Without its manifest the old set is no set; its tars beyond the new last one must not look like part of it. What
    # else lies there is somebody's.
    for info in storage.list_files(storage.join(output_dir, "test"), (".tar", "nshards.txt")):
        storage.remove(info.url)
    texts = ("dataset_type.txt", "classnames.txt", "zeroshot_classification_templates.txt", "tasklist.yml")
    for name in (*texts, CLASS_FOLDERS):
        if storage.exists(storage.join(output_dir, name)):
            storage.remove(storage.join(output_dir, name))


def _finish(output_dir: str, shards: int, columns: dict[str, object]) -> None:
    name = storage.basename(output_dir)
    # JSON is YAML.
    row = json.dumps({name: {"name": name, **columns}}, ensure_ascii=False)
    storage.publish_text(storage.join(output_dir, "tasklist.yml"), row + "\n")
    storage.publish_text(storage.join(output_dir, "test", "nshards.txt"), f"{shards}\n")


def _one_line(text: str, what: str) -> str:
    line = _joined(text)
    if not line:
        raise ConfigError(f"an empty {what} can't be written")
    return line


def _joined(text: str) -> str:
    """These files have a line an entry, so a line break inside one becomes a space."""
    return " ".join(text.split())
