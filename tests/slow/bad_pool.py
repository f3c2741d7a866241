"""A pool of good and bad samples, seeded, with the status that each must get."""

import io
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from PIL import Image

from datascaler import storage
from datascaler.data.pool import samples as status
from datascaler.data.pool.uids import uid_of
from tests.data.tars import tar_of

Members = dict[str, bytes]
EITHER = frozenset({status.OK, status.BAD_IMAGE})
"""Where only a decoder can tell whether the damage matters."""


@dataclass
class BadPool:
    url: str
    expected: dict[str, list[frozenset[str]]] = field(default_factory=dict)
    """Shard -> for each of its rows the statuses that are right; one, but for samples that were damaged at random."""
    kinds: dict[str, int] = field(default_factory=dict)
    """How many there are."""


def encoded(format_: str, size: tuple[int, int] = (40, 30), mode: str = "RGB", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert(mode).save(buffer, format_, **options)
    return buffer.getvalue()


def sixteen_bit() -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((40, 30)).convert("I").convert("I;16").save(buffer, "PNG")
    return buffer.getvalue()


def animated(format_: str) -> bytes:
    buffer = io.BytesIO()
    frames = [Image.new("RGB", (32, 32), color) for color in ("red", "green", "blue")]
    frames[0].save(buffer, format_, save_all=True, append_images=frames[1:], duration=50)
    return buffer.getvalue()


def bomb() -> bytes:
    buffer = io.BytesIO()
    Image.new("1", (12_000, 12_000)).save(buffer, "PNG")
    return buffer.getvalue()


JPEG, PNG, WEBP = encoded("JPEG"), encoded("PNG"), encoded("WEBP")
LARGE, BOMB = encoded("JPEG", (3000, 2000)), bomb()
PICTURES: dict[str, tuple[str, bytes, str]] = {
    "cut JPEG": ("jpg", JPEG[: len(JPEG) // 2], status.BAD_IMAGE),
    "cut PNG": ("png", PNG[: len(PNG) // 2], status.BAD_IMAGE),
    "cut WebP": ("webp", WEBP[: len(WEBP) // 2], status.BAD_IMAGE),
    "first bytes only": ("jpg", JPEG[:20], status.BAD_IMAGE),
    "text in place of a picture": ("jpg", b"<html>404 not found</html>", status.BAD_IMAGE),
    "zero bytes": ("jpg", b"", status.EMPTY_IMAGE),
    "bomb": ("png", BOMB, status.BAD_IMAGE),
    "line": ("png", encoded("PNG", (5000, 1)), status.BAD_IMAGE),
    "CMYK": ("jpg", encoded("JPEG", mode="CMYK"), status.OK),
    "16 bit": ("png", sixteen_bit(), status.OK),
    "grey": ("jpg", encoded("JPEG", mode="L"), status.OK),
    "bilevel": ("png", encoded("PNG", mode="1"), status.OK),
    "palette": ("png", encoded("PNG", mode="P"), status.OK),
    "transparent": ("png", encoded("PNG", mode="RGBA"), status.OK),
    "animated GIF": ("gif", animated("GIF"), status.OK),
    "animated WebP": ("webp", animated("WEBP"), status.OK),
    "JPEG under another name": ("png", JPEG, status.OK),
    "one pixel": ("png", encoded("PNG", (1, 1)), status.OK),
    "progressive": ("jpg", encoded("JPEG", progressive=True), status.OK),
}
"""Suffix, bytes and status of pictures whose other members are good."""


def _with(**changes: bytes | None) -> Callable[[Members], Members]:
    """Members replaced, or left out where None."""
    return lambda members: {name: data for name, data in (members | changes).items() if data is not None}


def _swapped(members: Members) -> Members:
    return members | {"jpg": members["txt"], "txt": members["jpg"]}


OTHERS: dict[str, tuple[Callable[[Members], Members], str]] = {
    "swapped members": (_swapped, status.BAD_CAPTION),
    "broken json": (_with(json=b'{"uid": '), status.BAD_JSON),
    "json nested without end": (_with(json=b"[" * 200_000), status.BAD_JSON),
    "json is a list": (_with(json=b"[1]"), status.OK),
    "json is missing": (_with(json=None), status.OK),
    "uid is no uid": (_with(json=b'{"uid": "12", "caption": "x"}'), status.NO_UID),
    "picture is missing": (_with(jpg=None), status.NO_IMAGE),
    "caption is not UTF-8": (_with(txt=b"caf\xe9"), status.BAD_CAPTION),
    "caption is missing": (_with(txt=None), status.OK),  # the json has it too
    "caption is empty": (_with(txt=b""), status.OK),
    "caption without end": (_with(txt=b"word " * 20_000), status.OK),
    "caption of odd letters": (_with(txt="\u202e\u0000 \U0001f468\u200d\U0001f469 \ufeff".encode()), status.OK),
    "a member that nobody knows": (_with(xyz=b"?"), status.OK),
}
RARE = {"bomb": 10, "json nested without end": 5, "caption without end": 10, "oversized": 20}
"""How many of those that cost much; of all other kinds there are about as many as of each other."""


def make_bad_pool(url: str, samples: int, shards: int, seed: int = 0) -> BadPool:
    """`samples` in shards of equal size, and one shard more that is damaged in its middle."""
    draw = random.Random(seed)
    common = [kind for kind in (*PICTURES, *OTHERS, "flipped bits") if kind not in RARE]
    kinds = [kind for kind, count in RARE.items() for _ in range(count)]
    kinds += ["good"] * (samples // 2)
    kinds += [common[number % len(common)] for number in range(samples - len(kinds))]
    draw.shuffle(kinds)
    pool = BadPool(url)
    for kind in kinds:
        pool.kinds[kind] = pool.kinds.get(kind, 0) + 1
    each = samples // shards
    for shard in range(shards):
        made = [_sample(shard * each + row, kinds[shard * each + row], draw) for row in range(each)]
        # Ustar with short keys, pax and GNU with keys that need extension headers.
        prefix = "" if shard % 3 == 0 else "folder/" * 20
        members = [
            (f"{prefix}{row:09d}.{suffix}", data)
            for row, (sample, _) in enumerate(made)
            for suffix, data in sample.items()
        ]
        storage.publish_bytes(f"{url}/{shard:08d}.tar", tar_of(members, format_=shard % 3))
        pool.expected[f"{shard:08d}"] = [statuses for _, statuses in made]
    whole = tar_of((f"{row:09d}.{suffix}", data) for row in range(20) for suffix, data in good(row).items())
    header = whole.index(b"000000010.jpg")
    storage.publish_bytes(f"{url}/{shards:08d}.tar", whole[:header] + b"\xff" * 512 + whole[header + 512 :])
    pool.expected[f"{shards:08d}"] = [frozenset({status.OK})] * 10 + [frozenset({status.DAMAGED_TAR})]
    return pool


def good(number: int) -> Members:
    caption = f"picture number {number}"
    record = {"uid": uid_of(caption, str(number)), "caption": caption}
    return {"jpg": JPEG, "txt": caption.encode(), "json": json.dumps(record).encode()}


def _sample(number: int, kind: str, draw: random.Random) -> tuple[Members, frozenset[str]]:
    members = good(number)
    if kind == "good":
        return members, frozenset({status.OK})
    if kind == "oversized":
        return members | {"jpg": LARGE}, frozenset({status.OK})
    if kind == "flipped bits":
        damaged = bytearray(JPEG)
        for _ in range(draw.randint(1, 8)):
            damaged[draw.randrange(len(damaged))] ^= 1 << draw.randrange(8)
        return members | {"jpg": bytes(damaged)}, EITHER
    if kind in PICTURES:
        suffix, data, state = PICTURES[kind]
        del members["jpg"]
        return {suffix: data, **members}, frozenset({state})
    change, state = OTHERS[kind]
    return change(members), frozenset({state})
