"""Evaluation sets in DataComp's webdataset layout, written by hand below any URL."""

import colorsys
import io
import tarfile
from collections.abc import Sequence

import numpy as np
from PIL import Image

from datascaler import storage
from datascaler.evaluate.tasks import Task

CLASSES = ("red square", "green square", "blue square", "dark square", "light square", "grey square")
TEN_CLASSES = (*CLASSES, "red circle", "green circle", "blue circle", "dark circle")
"""As many as CIFAR-10 and MNIST have."""
TEMPLATES = ("a photo of a {c}.", "an image of the {c}")

Sample = dict[str, bytes]
"""Suffix -> content."""


def picture(number: int, suffix: str = "png") -> bytes:
    """Noise of a hue of its own: no two numbers give the same embedding."""
    rng = np.random.default_rng(number)
    hue = np.array(colorsys.hsv_to_rgb(number * 0.31 % 1, 0.8, 0.9))
    pixels = (255 * np.clip(hue + rng.normal(0, 0.3, (40, 36, 3)), 0, 1)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, {"jpg": "jpeg"}.get(suffix, suffix))
    return buffer.getvalue()


def tar_of(samples: Sequence[Sample], first: int = 0) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for number, sample in enumerate(samples, first):
            for suffix, content in sample.items():
                info = tarfile.TarInfo(f"s{number:07d}.{suffix}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def labelled(count: int, classes: int = len(CLASSES), seed: int = 0) -> list[Sample]:
    """Images of every suffix that DataComp's sets use, with random labels."""
    labels = np.random.default_rng(seed).integers(0, classes, count)
    suffixes = ("png", "webp", "jpg", "jpeg")
    return [
        {(suffix := suffixes[number % 4]): picture(seed + number, suffix), "cls": str(label).encode()}
        for number, label in enumerate(labels)
    ]


def vector_of(*numbers: int) -> bytes:
    """A sample's metadata, as its .npy."""
    buffer = io.BytesIO()
    np.save(buffer, np.array(numbers))
    return buffer.getvalue()


def captioned(count: int, captions: int = 3) -> list[Sample]:
    return [
        {
            "png": picture(number),
            "txt": "\n".join(f"thing {number} seen {view} times" for view in range(captions)).encode(),
        }
        for number in range(count)
    ]


def write_set(
    folder: str,
    samples: Sequence[Sample],
    *,
    shards: int = 2,
    classnames: Sequence[str] = CLASSES,
    templates: Sequence[str] = TEMPLATES,
    dataset_type: str | None = None,
) -> None:
    if dataset_type is None:
        storage.publish_text(storage.join(folder, "classnames.txt"), "".join(f"{name} \n" for name in classnames))
        url = storage.join(folder, "zeroshot_classification_templates.txt")
        storage.publish_text(url, "\n".join(templates))
    else:
        storage.publish_text(storage.join(folder, "dataset_type.txt"), dataset_type + "\n")
    storage.publish_text(storage.join(folder, "test/nshards.txt"), f"{shards}\n")
    per_shard = -(-len(samples) // shards)
    for shard in range(shards):
        first = shard * per_shard
        content = tar_of(samples[first : first + per_shard], first)
        storage.publish_bytes(storage.join(folder, f"test/{shard}.tar"), content)


def task_of(key: str, size: int, *, main_metric: str | None = "acc1", group: str | None = None) -> Task:
    return Task(key=key, name=key.upper(), size=size, main_metric=main_metric, group=group)
