"""The good samples of a tar, sound or damaged, by the description of the format: written without a look at our reader.

A tar is a row of blocks of 512 bytes: a header (name, size, checksum, type), then the content. It is followed from its
start until its end mark or the first thing that can't be right; nothing behind that is believed.
"""

import hashlib
import io
import json
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from PIL import Image

IMAGES = ("jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff")


@dataclass(frozen=True)
class PlainSample:
    """A sample whose members are all sound; only `decodes` says whether the picture is."""

    key: str
    uid: str
    image: bytes
    caption: str

    @cached_property
    def decodes(self) -> bool:
        return pixels_of(self.image) is not None


def plain_samples(content: bytes, shard: str = "") -> list[PlainSample]:
    """A sample ends where the name changes up to its first dot, or a suffix comes again. What has no stem or no suffix
    is of none. `shard` is the name of the tar.
    """
    groups: list[tuple[str, dict[str, bytes]]] = []
    end = 0
    for name, data, end in _members(content):  # noqa: B007 - the last one is looked at below
        folder, slash, base = name.rpartition("/")
        stem, dot, suffix = base.partition(".")
        if not stem or not dot:
            continue
        key, suffix = folder + slash + stem, suffix.lower()
        if not groups or groups[-1][0] != key or suffix in groups[-1][1]:
            groups.append((key, {}))
        groups[-1][1][suffix] = data
    # Where the tar is cut, its last sample may have lost the json.
    if groups and "json" not in groups[-1][1] and content[end : end + 1024].strip(b"\0"):
        groups.pop()
    return [sample for key, members in groups if (sample := _sample(key, members, shard))]


def pixels_of(image: bytes) -> bytes | None:
    """RGB by Pillow; None where the picture does not decode, or is larger or narrower than a pool's may be."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            opened = Image.open(io.BytesIO(image))
            if opened.width * opened.height > 100_000_000 or max(opened.size) > 1000 * min(opened.size):
                return None
            return opened.convert("RGB").tobytes()
    except Exception:  # Pillow raises nearly anything
        return None


def _sample(key: str, members: dict[str, bytes], shard: str) -> PlainSample | None:
    image = next((members[suffix] for suffix in IMAGES if suffix in members), b"")
    try:
        record = json.loads(members.get("json", b"{}"))
        record = record if isinstance(record, dict) else {}
        caption = members["txt"].decode() if "txt" in members else record["caption"]
        caption.encode()
        uid = record.get("uid")
        if uid is None:
            url = record.get("url")
            made_of = caption + url if isinstance(url, str) and url else key.removeprefix("./") + shard
            uid = hashlib.md5(made_of.encode()).hexdigest()
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return None
    if not image or not isinstance(uid, str) or not re.fullmatch("[0-9a-fA-F]{32}", uid, re.ASCII):
        return None
    return PlainSample(key, uid.lower(), image, caption)


def _members(content: bytes) -> Iterator[tuple[str, bytes, int]]:
    """Name and content of each regular file, and where it ends."""
    at, long_name, long_size = 0, None, None
    while at + 512 <= len(content):
        header = content[at : at + 512]
        if not any(header) or _octal(header[148:156]) != sum(header[:148]) + 8 * 32 + sum(header[156:]):
            return
        kind = header[156:157]
        size = 0 if kind in b"12346" else _octal(header[124:136])
        if kind in b"\x0007" and long_size is not None:
            size = long_size
        data = content[at + 512 : at + 512 + size]
        blocks = content[at + 512 : at + 512 + -(-size // 512) * 512]
        at += 512 + -(-size // 512) * 512
        if size < 0 or at > len(content):
            return
        if kind == b"L":
            long_name = long_name or blocks.split(b"\0")[0]
        elif kind in b"xX":
            records = _pax(data)
            if records is None:
                return
            long_name = long_name or records.get(b"path")
            if b"size" in records:
                if not records[b"size"].isdigit():
                    return
                long_size = int(records[b"size"]) if long_size is None else long_size
        elif kind not in b"gK":
            name = long_name if long_name else _name(header)
            if kind in b"\x0007" and not name.endswith(b"/"):
                yield name.decode("utf-8", "surrogateescape"), data, at
            long_name = long_size = None


def _name(header: bytes) -> bytes:
    name, prefix = header[:100].split(b"\0")[0], header[345:500].split(b"\0")[0]
    return prefix + b"/" + name if prefix and header[257:263] == b"ustar\0" else name


def _octal(field: bytes) -> int:
    """Digits between blanks and zeros, or a binary number where they would not do; -1 for anything else."""
    if field[0] >= 128:
        return int.from_bytes(field[1:], "big")
    match = re.fullmatch(rb"[ \0]*([0-7]*) *(\0.*)?", field, re.DOTALL)
    return int(match[1] or b"0", 8) if match else -1


def _pax(data: bytes) -> dict[bytes, bytes] | None:
    """Records `LENGTH KEY=VALUE\\n`; None where one is none."""
    records = {}
    while data:
        match = re.match(rb"(\d+) ([^=]*)=", data)
        length = int(match[1]) if match and len(match[1]) < 20 else 0
        if not match or not match.end() < length <= len(data) or data[length - 1 : length] != b"\n":
            return None
        records[match[2]] = data[match.end() : length - 1]
        data = data[length:]
    return records
