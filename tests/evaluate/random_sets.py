"""Random evaluation sets, and what webdataset, Pillow and open_clip alone make of them."""

import io
import random
import tarfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import normalize

from datascaler.errors import DatascalerError
from datascaler.evaluate.classify import classify
from datascaler.evaluate.evalset import open_evalset
from datascaler.models.loaded import LoadedClip
from tests.data.tars import read_with_webdataset

NAMES = ("red square", "Red Square", "green circle", "blue  circle", "blue circle", "", "a dog", "{0}", "red square")
TEMPLATES = ("a photo of a {c}.", "{c}", "itap of the {c}", "a {c} and {c}")
MODES = ("RGB", "RGBA", "LA", "L", "P", "1", "I;16", "CMYK", "palette with alpha", "turned", "animated")
NEAR = 1e-3
"""Logits nearer than this are a matter of rounding, unless they are of the same text."""


def write_random_set(folder: Path, seed: int) -> None:
    """A set of a few samples, with what may be odd about one drawn at random; mostly little is."""
    draw = random.Random(seed)
    names, templates = draw.choices(NAMES, k=draw.randint(5, 9)), draw.sample(TEMPLATES, draw.randint(1, 3))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "test").mkdir()
    (folder / "classnames.txt").write_text("".join(f"{name}\n" for name in [*names, "a last one"]))
    (folder / "zeroshot_classification_templates.txt").write_text("\n".join(templates) + draw.choice(["", "\n"]))
    shards = draw.randint(1, 2)
    (folder / "test/nshards.txt").write_text(f"{shards}\n")
    for shard in range(shards):
        members: list[tuple[str, bytes]] = []
        for number in range(draw.randint(1, 4) if draw.random() < 0.97 else 0):
            members += _sample(draw, f"s{shard}{number}", len(names))
        mode = draw.choices(["w", "w:gz", "w:bz2", "w:xz"], [8, 1, 1, 1])[0]
        (folder / f"test/{shard}.tar").write_bytes(_tar(members, mode))


def _sample(draw: random.Random, stem: str, classes: int) -> list[tuple[str, bytes]]:
    key = draw.choice(["", "", "", "deep/er/", "./"]) + draw.choice([stem, stem, f"caf\xe9{stem}", f"{stem} 2"])
    members = [(f"{key}.{draw.choice(['png', 'jpg', 'jpeg', 'webp', 'PNG', 'Jpg'])}", _picture(draw))]
    if draw.random() < 0.2:
        members.append((f"{key}.{draw.choice(['webp', 'png', 'jpg', 'seg.png', 'bmp'])}", _picture(draw)))
    label = draw.randrange(classes)
    forms = [b"%d", b"%d\n", b" %d ", b"0%d"] if draw.random() < 0.99 else [b"+%d", b"%d.0", b"x%d"]
    members.append((f"{key}.{draw.choice(['cls', 'cls', 'CLS'])}", draw.choice(forms) % label))
    if draw.random() < 0.3:
        members.append((f"{key}.json", b"{}"))
    if draw.random() < 0.015:
        members.append(members[0])
    draw.shuffle(members)
    if draw.random() < 0.01:
        members.pop()
    junk = ["README", f"._{stem}.png", "deep/LICENSE", "__notes__/0.png", "__MACOSX/deep", "folder/"]
    return [(draw.choice(junk), b"\0\5\x16\7")] * (draw.random() < 0.2) + members


def _picture(draw: random.Random) -> bytes:
    """Noise, in any mode and format; its suffix need not be true. Some do not decode."""
    noise = np.random.default_rng(draw.randrange(1 << 30))
    size = (draw.randint(3, 60), draw.randint(3, 60))
    image = Image.fromarray(noise.integers(0, 256, (4, 5, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    mode = draw.choice(MODES) if draw.random() < 0.7 else "RGB"
    options: dict[str, Any] = {}
    kind = draw.choice(["PNG", "JPEG", "WEBP"])
    if mode in ("RGBA", "LA"):
        image = image.convert("RGBA")
        image.putalpha(Image.fromarray(noise.integers(0, 256, size[::-1], dtype=np.uint8)))
        image, kind = image.convert(mode), "PNG" if mode == "LA" else draw.choice(["PNG", "WEBP"])
    elif mode == "I;16":
        image, kind = Image.fromarray(noise.integers(0, 65536, size[::-1], dtype=np.uint16)), "PNG"
    elif mode == "palette with alpha":
        image, kind = image.quantize(9), draw.choice(["PNG", "GIF"])
        options["transparency"] = bytes(noise.integers(0, 256, 9, dtype=np.uint8)) if kind == "PNG" else 3
    elif mode == "turned":
        exif = Image.Exif()
        exif[0x0112] = draw.randint(1, 8)
        options["exif"] = exif
    elif mode == "animated":
        kind = draw.choice(["WEBP", "GIF", "PNG"])
        options |= {"save_all": True, "append_images": [image.rotate(90)]}
    elif mode != "RGB":
        image = image.convert(mode)
        kind = {"P": draw.choice(["PNG", "GIF"]), "CMYK": "JPEG", "1": "PNG"}.get(mode, kind)
    if kind == "WEBP":
        options["lossless"] = True
    out = io.BytesIO()
    image.save(out, kind, **options)
    content = out.getvalue()
    return content if draw.random() < 0.98 else draw.choice([b"", b"no picture", content[: len(content) // 2]])


def _tar(members: list[tuple[str, bytes]], mode: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode, format=tarfile.GNU_FORMAT, encoding="latin-1") as tar:  # type: ignore[call-overload]
        for name, content in members:
            info = tarfile.TarInfo(name.rstrip("/"))
            info.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            info.size = 0 if name.endswith("/") else len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@torch.no_grad()
def by_oracle(folder: Path, model: LoadedClip) -> list[tuple[int, torch.Tensor]]:
    """The label and the logits of each sample, by CLIP_benchmark's steps; raises what the libraries raise."""
    tower: Any = model.model
    names = [line.strip() for line in (folder / "classnames.txt").read_text().split("\n")[:-1]]
    texts = (folder / "zeroshot_classification_templates.txt").read_text().strip().split("\n")
    columns = []
    for name in names:
        prompts = model.tokenize([text.replace("{c}", name) for text in texts])
        mean = normalize(tower.encode_text(prompts), dim=-1).mean(dim=0)
        columns.append(mean / mean.norm())
    weights = torch.stack(columns, dim=1)
    shards = sorted((folder / "test").glob("*.tar"))
    found = []
    for sample in read_with_webdataset(*shards):
        # Theirs end with an error where there is none of the four; ours reads a bmp then.
        encoded = next(sample[suffix] for suffix in ("webp", "png", "jpg", "jpeg", "bmp") if suffix in sample)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow says that a palette with transparency might be kept
            image = Image.open(io.BytesIO(encoded))
            image.load()
            rgb = image.convert("RGB")
        label = int(sample["cls"])
        vector = normalize(tower.encode_image(model.preprocess(rgb)[None]), dim=-1)
        # One column at a time: what is equal is equal then, whatever a library does with many.
        found.append((label, torch.stack([100 * (vector[0] * column).sum() for column in weights.T])))
    return found


def check_random_set(folder: Path, model: LoadedClip) -> str:
    """Compare ours with the oracle's; what became of the set."""
    try:
        expected: list[tuple[int, torch.Tensor]] | None = by_oracle(folder, model)
    except Exception:  # whatever the libraries raise: such a set must be refused here
        expected = None
    try:
        outcome = classify(model, open_evalset(str(folder)), batch_size=3, num_workers=1)
    except DatascalerError as error:
        text = str(error)
        assert str(folder) in text
        may_refuse = expected is None or "holds no sample" in text or "needs a .cls member with an integer" in text
        assert may_refuse, f"{text}, where the oracle has {len(expected or [])} samples"
        return "refused"
    if expected is None:
        assert outcome.bad_images > 0, "the oracle fails, and nothing is said here"
        return "counted"
    table = outcome.samples.to_pydict()
    assert (table["label"], outcome.bad_images) == ([label for label, _ in expected], 0)
    for (label, logits), said, rank in zip(expected, table["prediction"], table["rank"], strict=True):
        best = int((logits == logits.max()).nonzero()[0])
        assert said == best or 0 < float(logits[best] - logits[said]) < NEAR, (said, logits)
        above = int(
            ((logits > logits[label]) | ((logits == logits[label]) & (torch.arange(len(logits)) < label))).sum()
        )
        others = logits[logits != logits[label]]
        is_near = len(others) > 0 and float((others - logits[label]).abs().min()) < NEAR
        assert rank == above + 1 or is_near, (rank, logits)
    return "equal"
