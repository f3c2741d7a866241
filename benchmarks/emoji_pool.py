"""A pool of real pictures with known faults: emoji as three vendors draw them. Those of the fourth are for evaluation.

A caption is made of an emoji's name, its short name and its topic. A filter never sees which pairs are wrong.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from datascaler import storage
from datascaler.data.make.write_evalset import write_classification_set
from datascaler.data.make.write_pool import write_pool
from datascaler.data.pool.pool_rows import PoolSample
from datascaler.data.pool.uids import uid_of
from datascaler.demo.pairs import letter
from tests.real_pictures import VENDORS, emoji_images

POOL_VENDORS, EVAL_VENDOR = VENDORS[:3], VENDORS[3]
TRUSTED_VENDOR = "google"
"""Whose pictures, with other captions, are the small set that is known to be clean."""
SHARES = {"clean": 0.5, "mismatched": 0.3, "lettered": 0.1, "junk": 0.1}
"""Another emoji's caption; the same, drawn into the picture; words that say nothing."""
_FORMS = (
    *("{name}", "a picture of {name}", "{name} emoji", "{short}", "{name}, {topic}", "an icon of {short}"),
    *("{topic}: {name}", "{short}, a kind of {topic}"),
)
_JUNK = ("img {number}.png", "click here", "download free", "best price today", "image {number}", "untitled")
_SIDE = 64
_WHITE = (255, 255, 255)
_PER_SHARD = 500


@dataclass(frozen=True, slots=True)
class Emoji:
    code: str
    name: str
    short: str
    topic: str


@dataclass(frozen=True, slots=True)
class EmojiData:
    pool: str
    trusted: str
    evalsets: str
    tasks: str
    kinds: dict[str, str]
    """uid -> what the pool's pair really is, a key of SHARES."""


def make_emoji_data(output_dir: str, *, most: int | None, seed: int = 0) -> EmojiData:
    """Everything below the folder; what is there already is not made again.

    most: emoji of each vendor, evenly spread over the topics; None is all that every vendor draws.
    """
    pictures = {vendor: dict(_drawn_by(vendor)) for vendor in VENDORS}
    shared = [each for each in pictures[EVAL_VENDOR] if all(each in own for own in pictures.values())]
    emoji = shared if most is None else [shared[at] for at in np.linspace(0, len(shared) - 1, most).astype(int)]
    pool, trusted, evalsets, tasks = (
        storage.join(output_dir, name) for name in ("pool", "trusted", "evalsets", "tasks")
    )
    kinds: dict[str, str] = {}
    write_pool(pool, _pool_samples(emoji, pictures, kinds, seed), _PER_SHARD)
    rng = np.random.default_rng((seed, 1))
    clean = (_sample("trusted", each, pictures[TRUSTED_VENDOR][each], _caption(each, rng)) for each in emoji)
    write_pool(trusted, clean, _PER_SHARD)
    _make_evalsets(evalsets, tasks, emoji, pictures[EVAL_VENDOR])
    return EmojiData(pool, trusted, evalsets, tasks, kinds)


def _drawn_by(vendor: str) -> Iterator[tuple[Emoji, bytes]]:
    for entry, image in emoji_images(vendor):
        yield _emoji(entry), image


def _emoji(entry: dict[str, Any]) -> Emoji:
    short = entry["short_name"].replace("_", " ").replace("-", " ")
    return Emoji(entry["unified"], entry["name"].lower(), short, entry["subcategory"].replace("-", " "))


def _pool_samples(
    emoji: Sequence[Emoji], pictures: dict[str, dict[Emoji, bytes]], kinds: dict[str, str], seed: int
) -> Iterator[PoolSample]:
    """In a random order, each kind with its share; notes the kind of each."""
    pairs = [(vendor, at) for vendor in POOL_VENDORS for at in range(len(emoji))]
    bounds = np.cumsum(list(SHARES.values()))
    order, turn = (np.random.default_rng((seed, number)).permutation(len(pairs)).tolist() for number in (0, 3))
    for place, rank in zip(order, turn, strict=True):
        vendor, at = pairs[place]
        kind = list(SHARES)[int(np.searchsorted(bounds, (rank + 0.5) / len(pairs)))]
        rng = np.random.default_rng((seed, 2, place))
        other = emoji[(at + int(rng.integers(1, len(emoji)))) % len(emoji)]
        image = pictures[vendor][emoji[at]]
        match kind:
            case "clean":
                caption = _caption(emoji[at], rng)
            case "junk":
                caption = _JUNK[int(rng.integers(len(_JUNK)))].format(number=int(rng.integers(10_000)))
            case _:
                caption = _caption(other, rng)
        text = caption if kind == "lettered" else None
        sample = _sample(f"pool-{vendor}", emoji[at], image, caption, text, rng)
        kinds[uid_of(caption, sample.url)] = kind
        yield sample


def _sample(
    name: str,
    emoji: Emoji,
    image: bytes,
    caption: str,
    text: str | None = None,
    rng: np.random.Generator | None = None,
) -> PoolSample:
    picture = _on_white(image)
    if text is not None and rng is not None:
        picture = letter(picture, text, rng)
    return PoolSample(image=_png(picture), suffix="png", caption=caption, url=f"emoji://{name}/{emoji.code}")


def _caption(emoji: Emoji, rng: np.random.Generator) -> str:
    form = _FORMS[int(rng.integers(len(_FORMS)))]
    return form.format(name=emoji.name, short=emoji.short, topic=emoji.topic)


def _on_white(image: bytes) -> Image.Image:
    with Image.open(io.BytesIO(image)) as picture:
        drawn = picture.convert("RGBA").resize((_SIDE, _SIDE))
    white = Image.new("RGBA", drawn.size, (*_WHITE, 255))
    return Image.alpha_composite(white, drawn).convert("RGB")


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _make_evalsets(evalsets: str, tasks: str, emoji: Sequence[Emoji], pictures: dict[Emoji, bytes]) -> None:
    """Which topic a picture is of, and which emoji."""
    labels = {"topics": [each.topic for each in emoji], "names": [each.short for each in emoji]}
    lines = []
    for key, names in labels.items():
        classes = sorted(set(names))
        folder = storage.join(evalsets, f"wds_{key}_test")
        if not storage.exists(storage.join(folder, "test", "nshards.txt")):
            items = (
                (_png(_on_white(pictures[each])), "png", classes.index(name))
                for each, name in zip(emoji, names, strict=True)
            )
            write_classification_set(folder, items, classes, ("{c}", "a picture of {c}"))
        metric = "acc5" if key == "names" else "acc1"
        fields = {"name": f"Emoji by {key}", "size": len(emoji), "main_metric": metric, "num_classes": len(classes)}
        lines.append(f"{key}:\n" + "".join(f"  {name}: {value}\n" for name, value in fields.items()))
    storage.publish_text(storage.join(tasks, "tasklist.yml"), "".join(lines))
