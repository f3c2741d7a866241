"""One row of a pool that is being made: the image that goes into the tar and the record that goes beside it."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from PIL import ExifTags, Image

from datascaler.data.pool.images import decode_rgb, is_of_machine, open_image
from datascaler.data.pool.uids import is_uid, uid_of
from datascaler.errors import ImageDecodeError

SUCCESS = "success"
FAILED_TO_DOWNLOAD = "failed_to_download"
"""img2dataset's word for: the row never gave us an image and its caption."""
FAILED_TO_RESIZE = "failed_to_resize"
"""img2dataset's word for: there were bytes, but no image in them that the pool can hold."""

STORED_FORMATS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}
"""Pillow's name of a format -> the suffix of its tar member. Other readers of DataComp pools know only these."""
_JPEG_QUALITY = 95


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSample:
    """What a caller of `write_pool` provides."""

    image: bytes
    """Encoded; stored as it is unless the pool is made with a largest side."""
    suffix: str
    """jpg, jpeg, png or webp."""
    caption: str
    url: str
    uid: str = ""
    """32 hex digits; md5(caption + url), DataComp's rule, where empty."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """More fields for the sample's json."""


@dataclass(frozen=True, slots=True)
class PoolRow:
    """A row ready to be written, or the record of why it can't be."""

    record: dict[str, Any]
    """The json of the sample, in DataComp's order; `key` is filled in by the shard writer."""
    image: bytes = b""
    suffix: str = ""


def stored_row(sample: PoolSample, max_side: int | None = None, *, check_image: bool = True) -> PoolRow:
    """Check the sample and shrink it if asked; whatever is wrong with it becomes a failed row, never an exception.

    Without `check_image` the bytes are stored as they came, as by a downloader that does not decode them.
    """
    fault = caption_fault(sample.caption) or uid_fault(sample.uid)
    if fault:
        return failed_row(sample.caption, sample.url, sample.uid, FAILED_TO_DOWNLOAD, fault)
    record = _record(sample.caption, sample.url, sample.uid)
    record["sha256"] = sha256(sample.image).hexdigest()
    if not check_image:
        return PoolRow(record | {"status": SUCCESS} | dict(sample.extra), sample.image, sample.suffix)
    try:
        image = decode_rgb(sample.image)
    except ImageDecodeError as error:
        record |= {"status": FAILED_TO_RESIZE, "error_message": f"image does not decode: {error}"}
        return PoolRow(record)
    record["original_width"], record["original_height"] = image.size
    stored, suffix = sample.image, "jpg" if sample.suffix.lower() == "jpeg" else sample.suffix.lower()
    if max_side is not None:
        image = _shrunk(image, max_side)
        stored, suffix = _jpeg(image), "jpg"
    elif suffix not in STORED_FORMATS.values():
        message = f"not jpg, png or webp: {suffix or 'unknown format'} (a largest side re-encodes as jpg)"
        record |= {"status": FAILED_TO_RESIZE, "error_message": message}
        return PoolRow(record)
    record["width"], record["height"] = image.size
    record["exif"] = exif_json(sample.image)
    record["status"] = SUCCESS
    return PoolRow(record | dict(sample.extra), stored, suffix)


def failed_row(caption: str | None, url: str, uid: str, status: str, message: str) -> PoolRow:
    """The record of a row that has no sample; its texts are made writable whatever they are."""
    record = _record(_writable(caption or ""), _writable(url), uid if is_uid(uid) else "")
    record |= {"caption": None if caption is None else record["caption"], "status": status, "error_message": message}
    return PoolRow(record)


def caption_fault(caption: str | None) -> str:
    """Why this can't be a caption, or an empty string."""
    if caption is None or not caption.strip():
        return "no caption"
    return "" if _writable(caption) == caption else "caption is not UTF-8"


def uid_fault(uid: str) -> str:
    return "" if not uid or is_uid(uid) else f"uid is not 32 hex digits: {uid[:40]!r}"


def image_suffix(encoded: bytes) -> str:
    """The suffix by content, since names lie; the format's own name in lower case where a pool can't hold it."""
    try:
        with open_image(encoded) as image:
            name = image.format or ""
    except Exception as error:  # Pillow's plugins raise nearly anything; decoding reports it properly
        if is_of_machine(error):
            raise
        return ""
    return STORED_FORMATS.get(name, name.lower())


def exif_json(encoded: bytes) -> str:
    """img2dataset's field: a JSON object as text, tag name -> value as text."""
    try:
        with open_image(encoded) as image:
            tags = {f"Image {ExifTags.TAGS.get(tag, tag)}": str(value) for tag, value in image.getexif().items()}
        return json.dumps(tags)
    except Exception as error:  # a picture that decodes is kept even where its metadata is broken
        if is_of_machine(error):
            raise
        return "{}"


def _record(caption: str, url: str, uid: str) -> dict[str, Any]:
    return {
        "uid": (uid or uid_of(caption, url)).lower(),
        "caption": caption,
        "url": url,
        "key": "",
        "status": "",
        "error_message": None,
        "width": None,
        "height": None,
        "original_width": None,
        "original_height": None,
        "exif": None,
        "sha256": None,
    }


def _shrunk(image: Image.Image, max_side: int) -> Image.Image:
    """DataComp's keep_ratio_largest, only if bigger; a box filter is the area average that img2dataset shrinks with."""
    scale = max_side / max(image.size)
    if scale >= 1:
        return image
    width, height = (max(1, round(side * scale)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BOX)


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return buffer.getvalue()


def _writable(text: str) -> str:
    """Lone surrogates, which is how undecodable bytes arrive, become question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")
