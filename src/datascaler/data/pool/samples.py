"""Members of a DataComp shard -> samples: image, caption and uid, or the reason why not."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import IO

from datascaler.data.pool.tar import Member, raw_of, text_of, walk_tar
from datascaler.data.pool.uids import is_uid, join_uid, split_uid, uid_of
from datascaler.errors import TarDamageError
from datascaler.safe_text import shown

IMAGE_SUFFIXES = ("jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff")

OK = "ok"
NO_IMAGE = "no image"
EMPTY_IMAGE = "empty image"
BAD_IMAGE = "image does not decode"
NO_CAPTION = "no caption"
BAD_CAPTION = "caption is not UTF-8"
BAD_JSON = "json does not parse"
NO_UID = "no uid"
DAMAGED_TAR = "tar damaged here"
NOT_FINITE = "score is not finite"
NO_SIZE = "no original size"
NO_SCORE = "no score in the metadata"

OF_CAPTION_AND_URL, OF_KEY_AND_SHARD = "md5(caption + url)", "md5(key + shard)"
"""Rules for the uid of a sample whose json has none."""

_LARGEST_SIDE = 1 << 31
_BYTE_ORDER_MARK = "\ufeff"


@dataclass(slots=True)
class Sample:
    """One row of a shard. Its row id is its ordinal in the tar, whatever its status."""

    row: int
    key: str
    offset: int
    """Byte of the shard where its first header starts."""
    length: int
    """Bytes to the end of its last member, padding included."""
    uid: tuple[int, int] = (0, 0)
    image: bytes = b""
    caption: str = ""
    status: str = OK
    detail: str = ""
    """What exactly was wrong, for people."""
    original_size: tuple[int, int] = (0, 0)
    """Width and height of the image as it was downloaded, as the json has them; zeros where it does not."""
    uid_rule: str = ""
    """What the uid was made of; empty where the json says it."""

    @property
    def uid_hex(self) -> str:
        """The uid as 32 hex digits; zeros where the sample has none."""
        return join_uid(*self.uid)


@dataclass(slots=True)
class Group:
    """The members of a sample, by suffix, in the order of the tar."""

    key: str
    members: dict[str, Member] = field(default_factory=dict)
    damage: TarDamageError | None = None
    """The fault of the archive that ends this group, which then may lack members, or have none at all."""


def group_members(members: Iterable[Member]) -> Iterator[Group]:
    """The groups of an archive's members: neighbours of one key, until a suffix comes again.

    Members that are of no sample by their names are passed over. Where the members end with TarDamageError, the last
    group carries it.
    """
    group = Group("")
    try:
        for member in members:
            if not is_of_sample(raw_of(member.name)):
                continue
            key, suffix = split_name(member.name)
            if group.members and (key != group.key or suffix in group.members):
                yield group
                group = Group(key)
            group.key = key
            group.members[suffix] = member
    except TarDamageError as damage:
        group.damage = damage
    if group.members or group.damage:
        yield group


def read_samples(file: IO[bytes], base: int = 0, first_row: int = 0, shard: str = "") -> Iterator[Sample]:
    """Every sample from the file's position on, in tar order; nothing is decoded.

    `shard` is the name of the shard, of which a uid is made where nothing better is known. A damaged archive ends with
    one row of status DAMAGED_TAR, after every sample before the fault. The sample that the fault cut is that row.
    """
    return samples_of(group_members(walk_tar(file, base)), base, first_row, shard)


def samples_of(groups: Iterable[Group], base: int = 0, first_row: int = 0, shard: str = "") -> Iterator[Sample]:
    """The samples of an archive's groups; the last one carries the damage where it is damaged."""
    row, end = first_row, base
    for group in groups:
        start, key = end, ""
        if group.members:
            sample = sample_of(row, group, shard)
            end = sample.offset + sample.length
            # A group that is not whole belongs to the sample that the fault cut: one row for both. What lacks its json
            # may have lost it, and its uid with it.
            if group.damage is None or (sample.status == OK and "json" in group.members):
                yield sample
                row += 1
                start = end
            else:
                start, key = sample.offset, sample.key
        if group.damage is not None:
            detail = str(group.damage)
            yield Sample(row=row, key=key, offset=start, length=end - start, status=DAMAGED_TAR, detail=detail)


def key_length_of(name: bytes) -> int:
    """webdataset's rule: the key ends at the first dot after the last slash, or at the end."""
    dot = name.find(b".", name.rfind(b"/") + 1)
    return dot if dot >= 0 else len(name)


def is_of_sample(name: bytes) -> bool:
    """Whether a member is part of a sample, by its name: not what has no suffix, as a README, nor what begins with a
    dot, as the files that macOS puts beside others. webdataset leaves out the same.
    """
    return name.find(b".", name.rfind(b"/") + 1) > name.rfind(b"/") + 1


def split_name(name: str) -> tuple[str, str]:
    """Key and suffix, which is lower-cased."""
    raw = raw_of(name)
    end = key_length_of(raw)
    return text_of(raw[:end]), text_of(raw[end + 1 :]).lower()


def decode_caption(text: bytes | memoryview) -> str:
    """The caption in a txt member, without the byte order mark that some editors put first.

    Raises UnicodeDecodeError.
    """
    return str(text, "utf-8").removeprefix(_BYTE_ORDER_MARK)


def sample_of(row: int, group: Group, shard: str = "") -> Sample:
    """A sample of the shard of this name, and its status; nothing is decoded."""
    members = list(group.members.values())
    sample = Sample(row=row, key=group.key, offset=members[0].offset, length=members[-1].end - members[0].offset)
    record = _read_json(sample, group.members.get("json"))
    uid = record.get("uid")
    if is_uid(uid):
        sample.uid = split_uid(str(uid))
    elif uid is not None:
        _fault(sample, NO_UID, f"uid in json: {shown(uid)}")
    sample.original_size = _original_size(record)
    _read_image(sample, group.members)
    _read_caption(sample, group.members.get("txt"), record)
    if uid is None and sample.status != BAD_JSON:
        _make_uid(sample, record.get("url"), shard)
    return sample


def _make_uid(sample: Sample, url: object, shard: str) -> None:
    """Downloaders know the two things that DataComp's uids were made of. Without them a sample is known by its place,
    which is the same however the folders in the tar's names are written.
    """
    if isinstance(url, str) and url:
        sample.uid_rule, parts = OF_CAPTION_AND_URL, (sample.caption, url)
    else:
        sample.uid_rule, parts = OF_KEY_AND_SHARD, (sample.key.removeprefix("./"), shard)
    sample.uid = split_uid(uid_of(*parts))


def _read_json(sample: Sample, member: Member | None) -> dict[str, object]:
    if member is None:
        return {}
    try:
        record = json.loads(member.data)
    except (ValueError, RecursionError) as error:
        sample.status, sample.detail = BAD_JSON, str(error)
        return {}
    return record if isinstance(record, dict) else {}


def _original_size(record: dict[str, object]) -> tuple[int, int]:
    width, height = record.get("original_width"), record.get("original_height")
    # A json may hold an integer of any size.
    if isinstance(width, int) and isinstance(height, int) and 0 < width < _LARGEST_SIDE and 0 < height < _LARGEST_SIDE:
        return width, height
    return 0, 0


def _read_image(sample: Sample, members: dict[str, Member]) -> None:
    member = next((members[suffix] for suffix in IMAGE_SUFFIXES if suffix in members), None)
    if member is None:
        _fault(sample, NO_IMAGE, f"members: {', '.join(members)}")
    elif not member.data:
        _fault(sample, EMPTY_IMAGE, member.name)
    else:
        sample.image = member.data


def _read_caption(sample: Sample, member: Member | None, record: dict[str, object]) -> None:
    if member is None:
        caption = record.get("caption")
        if not isinstance(caption, str):
            _fault(sample, NO_CAPTION, "neither a txt member nor a caption in the json")
        elif any("\ud800" <= letter <= "\udfff" for letter in caption):
            _fault(sample, BAD_CAPTION, "json escapes half a character")
        else:
            sample.caption = caption.removeprefix(_BYTE_ORDER_MARK)
        return
    try:
        sample.caption = decode_caption(member.data)
    except UnicodeDecodeError as error:
        _fault(sample, BAD_CAPTION, str(error))


def _fault(sample: Sample, status: str, detail: str) -> None:
    """Keep the first fault that was found."""
    if sample.status == OK:
        sample.status, sample.detail = status, detail
