"""Real pictures for slow tests and experiments, downloaded or generated and never committed."""

import csv
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

EMOJI_COUNT = 1911
VENDORS = ("apple", "google", "facebook", "twitter")
"""Who draws emoji. Twitter's are CC-BY 4.0 (Copyright Twitter, Inc and other contributors)."""
_EMOJI_PACKAGE = "emoji-datasource-{vendor}"
_EMOJI_VERSION = "16.0.0"
_EMOJI_IMAGES = "package/img/{vendor}/64"
_DIGIT_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_DIGIT_SIDE = 48


def emoji_folder(target: Path) -> tuple[Path, Path]:
    """The 1,911 base emoji as 64 x 64 PNG with transparency, and captions.csv: file, caption, category."""
    images_dir, captions = target / "images", target / "captions.csv"
    images_dir.mkdir(parents=True)
    with captions.open("w", newline="", encoding="utf-8") as table:
        writer = csv.writer(table)
        writer.writerow(["file", "caption", "category"])
        for entry, image in emoji_images("twitter"):
            (images_dir / entry["image"]).write_bytes(image)
            writer.writerow([entry["image"], entry["name"].lower(), entry["category"]])
    return images_dir, captions


def emoji_images(vendor: str) -> Iterator[tuple[dict[str, Any], bytes]]:
    """What emoji.json says of each base emoji that the vendor draws, and the PNG of it."""
    with tarfile.open(_emoji_archive(vendor)) as archive:
        with _member(archive, "package/emoji.json") as file:
            emoji: list[dict[str, Any]] = json.load(file)
        for entry in emoji:
            if entry[f"has_img_{vendor}"]:
                with _member(archive, f"{_EMOJI_IMAGES.format(vendor=vendor)}/{entry['image']}") as file:
                    yield entry, file.read()


def digits_folder(target: Path) -> Path:
    """scikit-learn's 1,797 scanned digits (8 x 8 grey) as 48 x 48 PNG below `zero` to `nine`."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    for number, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        folder = target / _DIGIT_NAMES[label]
        folder.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray((pixels * (255 / 16)).astype(np.uint8))
        image.resize((_DIGIT_SIDE, _DIGIT_SIDE), Image.Resampling.BICUBIC).save(folder / f"{number:04d}.png")
    return target


def _emoji_archive(vendor: str) -> Path:
    """The npm package, from the cache or fetched into it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "datascaler" / "npm"
    package = _EMOJI_PACKAGE.format(vendor=vendor)
    name = f"{package}-{_EMOJI_VERSION}.tgz"
    if (cache / name).exists():
        return cache / name
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError(f"npm is not on PATH: the slow tests need it to fetch {package} once")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        done = subprocess.run(
            [npm, "pack", f"{package}@{_EMOJI_VERSION}", "--pack-destination", folder],
            capture_output=True,
            text=True,
            cwd=folder,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"npm pack {package}@{_EMOJI_VERSION} failed:\n{done.stderr[-2000:]}")
        (Path(folder) / name).replace(cache / name)
    return cache / name


def _member(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    file = archive.extractfile(name)
    if file is None:
        raise RuntimeError(f"{name} is not a file of emoji-datasource {_EMOJI_VERSION}")
    return file
