"""Folders of images -> evaluation sets: classification from `CLASS/img.*`, retrieval from images and captions."""

import csv
import io
import json
import logging
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from datascaler import storage
from datascaler.data.make.captions import CaptionColumns, CaptionTable
from datascaler.data.make.make_pool import list_images
from datascaler.data.make.write_evalset import (
    CLASS_FOLDERS,
    DEFAULT_IMAGES_PER_SHARD,
    DEFAULT_TEMPLATES,
    EvalsetWritten,
    write_classification_set,
    write_retrieval_set,
)
from datascaler.data.pool.pool_rows import caption_fault, image_suffix
from datascaler.data.pool.samples import IMAGE_SUFFIXES
from datascaler.data.pool.text_file import read_text_file, split_lines
from datascaler.errors import ConfigError
from datascaler.progress import progress

_JUNK = {"__MACOSX", "__pycache__", "@eaDir", "lost+found", "$RECYCLE.BIN", "System Volume Information"}
_SPLITS = {"train", "training", "val", "valid", "validation", "dev", "test", "testing", "eval"}
"""What folders of splits are called: their classes lie below them."""
_log = logging.getLogger(__name__)


def make_classification_set(
    images_dir: str,
    output_dir: str,
    *,
    classnames: str | None = None,
    templates: Sequence[str] = DEFAULT_TEMPLATES,
    images_per_shard: int = DEFAULT_IMAGES_PER_SHARD,
    overwrite: bool = False,
) -> EvalsetWritten:
    """The label of an image is the ordinal of its folder by name, or by number where all are numbers; `classnames` is a
    file whose lines are their names.

    A blank line names a class too, as in DataComp's sets. Which folder became which class is kept in class_folders.csv.
    """
    found = [(path, info) for path, info in list_images(images_dir).items() if _is_image(path) and "/" in path]
    images = [(path, info) for path, info in found if not _junk_folder(path)]
    left_out = Counter(junk for path, _ in found if (junk := _junk_folder(path)))
    folders = sorted({path.split("/", 1)[0] for path, _ in images})
    if all(folder.isascii() and folder.isdecimal() for folder in folders):
        folders.sort(key=int)
    if not folders:
        raise ConfigError(f"no CLASS/image files in {images_dir}: it needs one folder a class, with images in it")
    _refuse_splits(images_dir, folders, [path for path, _ in images])
    for url in storage.list_folders(images_dir):
        name = storage.basename(url)
        if name not in folders and not _junk_folder(f"{name}/"):
            left_out[name] = 0
    if len(folders) == 1:
        _log.warning("%s holds one class, %s: every model is right on such a set", images_dir, folders[0])
    names = _classnames(classnames, folders)
    labels = {folder: label for label, folder in enumerate(folders)}
    with progress(len(images), "evaluation set", "image") as bar:

        def items() -> Iterator[tuple[bytes, str, int]]:
            for path, info in images:
                encoded = storage.read_bytes(info.url)
                yield encoded, image_suffix(encoded), labels[path.split("/", 1)[0]]
                bar.update()

        written = write_classification_set(
            output_dir,
            items(),
            names,
            templates,
            images_per_shard=images_per_shard,
            overwrite=overwrite,
            files=[path for path, _ in images],
        )
    classes = [
        {"label": label, "folder": folder, "name": names[label], "images": written.images_by_label[label]}
        for folder, label in labels.items()
    ]
    _keep(storage.join(output_dir, CLASS_FOLDERS), classes)
    return replace(written, class_folders=tuple(classes), left_out=dict(left_out))


def make_retrieval_set(
    images_dir: str,
    captions: str,
    output_dir: str,
    *,
    columns: CaptionColumns | None = None,
    delimiter: str | None = None,
    images_per_shard: int = DEFAULT_IMAGES_PER_SHARD,
    overwrite: bool = False,
) -> EvalsetWritten:
    """Several rows of the table may name the same image, and a row may hold a list: those are the image's captions, in
    the table's order.
    """
    images = list_images(images_dir)
    texts: dict[str, list[str]] = {}
    for row in CaptionTable(captions, columns, delimiter, several=True):
        fault = caption_fault(row.caption) or ("" if row.file in images else f"not found in {images_dir}")
        if fault or row.caption is None:
            # A query without its answer would make the score wrong without a word.
            raise ConfigError(f"{captions}, image {row.file!r}: {fault}")
        texts.setdefault(row.file, []).append(row.caption)
    with progress(len(texts), "evaluation set", "image") as bar:

        def items() -> Iterator[tuple[bytes, str, list[str]]]:
            for path, lines in texts.items():
                encoded = storage.read_bytes(images[path].url)
                yield encoded, image_suffix(encoded), lines
                bar.update()

        return write_retrieval_set(
            output_dir, items(), images_per_shard=images_per_shard, overwrite=overwrite, files=list(texts)
        )


def _refuse_splits(images_dir: str, folders: Sequence[str], images: Sequence[str]) -> None:
    """Raise ConfigError where the classes lie one folder further down: below splits, or below the only folder."""
    flat = {path.split("/", 1)[0] for path in images if path.count("/") == 1}
    splits = [folder for folder in folders if folder.lower() in _SPLITS]
    with_classes = [folder for folder in splits if folder not in flat]
    if with_classes and (len(splits) > 1 or splits == folders):
        raise ConfigError(
            f"{images_dir} holds splits ({', '.join(splits)}), not classes: give one of them, "
            f"as {storage.join(images_dir, with_classes[-1])}"
        )
    below = sorted({path.split("/")[1] for path in images if path.count("/") > 1})
    if len(folders) == 1 and not flat and len(below) > 1:
        raise ConfigError(
            f"{images_dir} holds one folder, with others in it ({', '.join(below[:5])}), and a set of one class tells "
            f"nothing: give {storage.join(images_dir, folders[0])}, if those are the classes"
        )


def _is_image(path: str) -> bool:
    """Whether its name is an image's; what begins with a dot, as macOS's files beside others, is none."""
    name = PurePosixPath(path)
    return not name.name.startswith(".") and name.suffix.lower().lstrip(".") in IMAGE_SUFFIXES


def _junk_folder(path: str) -> str:
    """The folder on the way that a program keeps its own files in; empty where there is none."""
    parts = path.split("/")[:-1]
    for place, part in enumerate(parts):
        if part.startswith(".") or part in _JUNK:
            return "/".join(parts[: place + 1])
    return ""


def _keep(url: str, classes: Sequence[dict[str, Any]]) -> None:
    with io.StringIO(newline="") as lines:
        table = csv.DictWriter(lines, list(classes[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(classes)
        storage.publish_text(url, lines.getvalue())


def _classnames(url: str | None, folders: list[str]) -> list[str]:
    if url is None:
        names = [" ".join(folder.replace("_", " ").split()) for folder in folders]
        for first, second in _same_names(names):
            raise ConfigError(
                f"the folders {folders[first]!r} and {folders[second]!r} have one name to a model, {names[first]!r}: "
                "rename one, or name the classes by --classnames"
            )
        if "" in names:
            raise ConfigError(f"the folder {folders[names.index('')]!r} names no class: rename it, or use --classnames")
        return names
    text = read_text_file(url)[0]
    if _is_json(text):
        raise ConfigError(f"{url} is JSON: write a class name a line, in the order of the folders")
    names = [line.strip() for line in split_lines(text)]
    if len(names) != len(folders):
        raise ConfigError(
            f"{url} has {len(names)} class names for {len(folders)} folders ({', '.join(folders[:5])} ...)"
        )
    for first, second in _same_names(names):
        _log.warning(
            "%s: lines %d and %d have one name to a model, %r, so that whatever is of the latter counts as wrong",
            *(url, first + 1, second + 1, names[first]),
        )
    return names


def _same_names(names: Sequence[str]) -> list[tuple[int, int]]:
    """The places of names that tokenizers make the same of, which ignore case and blanks; blank names are no pair."""
    first: dict[str, int] = {}
    found = []
    for place, name in enumerate(names):
        said = " ".join(unicodedata.normalize("NFC", name).lower().split())
        if said and first.setdefault(said, place) != place:
            found.append((first[said], place))
    return found


def _is_json(text: str) -> bool:
    if not text.lstrip().startswith(("{", "[")):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
