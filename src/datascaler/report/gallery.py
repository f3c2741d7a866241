"""Samples of a pool as pictures in the page: fetched by their place in the tar, small, faces made unrecognisable."""

import io
import json
from base64 import b64encode
from collections.abc import Sequence
from math import isfinite
from typing import Any

from PIL import Image

from datascaler import storage
from datascaler.data.pool.images import decode_rgb
from datascaler.data.pool.samples import OK, Group, group_members, sample_of
from datascaler.data.pool.shards import Shard, require_unchanged
from datascaler.data.pool.tar import walk_tar
from datascaler.errors import ConfigError, ImageDecodeError, StorageError
from datascaler.report.blocks import Picture, page_text
from datascaler.report.pool_tables import Row
from datascaler.tools.ordered_map import in_order

_SIDE = 160
"""Pixels of a picture's longer side in the page."""
_READERS = 8
"""Fetching a sample from a store is waiting for it."""
_LARGEST_SAMPLE = 32 << 20
_FACE_BLOCKS = 4
"""A face is shown as so many blocks of one colour a side."""


def pictures_of(rows: Sequence[Row]) -> list[Picture]:
    """Each row's picture and caption, or why it can't be shown."""
    shards = list(dict.fromkeys(row.shard for row in rows))
    faults = dict(zip(shards, in_order(_fault_of, shards, _READERS), strict=True))
    return list(in_order(lambda row: _picture(row, faults[row.shard]), rows, _READERS))


def _fault_of(shard: Shard) -> str:
    """Why nothing of a shard is shown: it must be the one that was scored."""
    if not shard.url.endswith(".tar"):
        return "the pool was scored from its metadata, which has no pictures"
    try:
        require_unchanged(shard)
    except (ConfigError, StorageError) as error:
        return str(error)
    return ""


def _picture(row: Row, fault: str) -> Picture:
    name, bad = f"{row.key} in {row.shard.name}", "" if row.status == OK else row.status
    if fault:
        return _without(row, name, bad or fault)
    try:
        group = _group_of(row)
        sample = sample_of(row.number, group, row.shard.name)
        if row.status == OK and sample.uid != row.uid:
            return _without(row, name, "the shard holds another sample there")
        caption = page_text(sample.caption)
        source = _thumbnail(sample.image, _face_boxes(group)) if sample.image else ""
        return Picture(source=source, caption=caption, score=row.score, name=name, fault=bad)
    except ImageDecodeError as error:
        return Picture(source="", caption=caption, score=row.score, name=name, fault=bad or str(error))
    except (ConfigError, StorageError) as error:
        return _without(row, name, bad or str(error))


def _without(row: Row, name: str, fault: str) -> Picture:
    return Picture(source="", caption="", score=row.score, name=name, fault=fault)


def _group_of(row: Row) -> Group:
    """The sample's members."""
    if row.length > _LARGEST_SAMPLE:
        raise ConfigError(f"the sample has {row.length:,} bytes")
    (content,) = storage.read_ranges(row.shard.url, [(row.offset, row.offset + row.length)])
    groups = list(group_members(walk_tar(io.BytesIO(content), row.offset)))
    if not groups or not groups[0].members:
        raise ConfigError("the shard holds no sample there")
    return groups[0]


def _thumbnail(encoded: bytes, faces: Sequence[Sequence[float]]) -> str:
    """A data: URL of the picture."""
    picture = decode_rgb(encoded)
    picture.thumbnail((2 * _SIDE, 2 * _SIDE), Image.Resampling.BICUBIC)
    for face in faces:
        _hide(picture, face)
    picture.thumbnail((_SIDE, _SIDE), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{b64encode(buffer.getvalue()).decode()}"


def _hide(picture: Image.Image, face: Sequence[float]) -> None:
    """Blur a face beyond recognition; the box is in parts of width and height."""
    (left, right), (top, bottom) = sorted((face[0], face[2])), sorted((face[1], face[3]))
    box = (
        *(max(0, int(left * picture.width)), max(0, int(top * picture.height))),
        *(min(picture.width, int(right * picture.width) + 1), min(picture.height, int(bottom * picture.height) + 1)),
    )
    if box[0] < box[2] and box[1] < box[3]:
        part = picture.crop(box)
        small = part.resize((_FACE_BLOCKS, _FACE_BLOCKS), Image.Resampling.BOX)
        picture.paste(small.resize(part.size, Image.Resampling.NEAREST), box)


def _face_boxes(group: Group) -> list[list[float]]:
    """DataComp's `face_bboxes` of a sample's json: corners in parts of width and height.

    Raises ConfigError where there are some that can't be read: then the picture must not be shown.
    """
    if "json" not in group.members:
        return []
    try:
        record = json.loads(group.members["json"].data)
    except (ValueError, RecursionError) as error:
        raise ConfigError("its json can't be read, so nothing says where faces are: it is not shown") from error
    boxes: Any = record.get("face_bboxes") if isinstance(record, dict) else None
    if boxes is None:
        return []
    if not isinstance(boxes, list) or not all(_is_box(each) for each in boxes):
        raise ConfigError("its face boxes can't be read, so it is not shown")
    return boxes


def _is_box(box: Any) -> bool:
    return (
        isinstance(box, list)
        and len(box) == 4
        and all(isinstance(each, int | float) and not isinstance(each, bool) and isfinite(each) for each in box)
    )
