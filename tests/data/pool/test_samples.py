"""Every kind of bad sample is a row with a reason, and never costs a good one."""

import hashlib
import io
import json
from collections.abc import Iterable

import pytest

from datascaler.data.pool import samples as status
from datascaler.data.pool.samples import Sample, read_samples, split_name
from datascaler.data.pool.tar import walk_tar
from datascaler.data.pool.uids import split_uid, uid_of
from tests.data.tars import members_of, picture, shard_of, tar_of


def rows(raw: bytes) -> list[Sample]:
    return list(read_samples(io.BytesIO(raw)))


def without(sample: dict[str, bytes], suffix: str) -> dict[str, bytes]:
    return {name: data for name, data in sample.items() if name != suffix}


def test_good_samples_in_tar_order() -> None:
    raw = shard_of(members_of(number) for number in range(5))
    found = rows(raw)
    assert [sample.status for sample in found] == [status.OK] * 5
    assert [sample.row for sample in found] == list(range(5))
    assert [sample.caption for sample in found] == [f"caption {number}" for number in range(5)]
    assert [sample.uid for sample in found] == [split_uid(uid_of(f"caption {n}", str(n))) for n in range(5)]
    assert found[2].image == picture(2)
    assert found[2].key == "000000000002"


def test_offset_and_length_cut_out_the_sample() -> None:
    raw = shard_of(members_of(number) for number in range(4))
    for sample in rows(raw):
        piece = raw[sample.offset : sample.offset + sample.length]
        assert list(read_samples(io.BytesIO(piece), sample.offset, sample.row)) == [sample]


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        (without(members_of(1), "png"), status.NO_IMAGE),
        (members_of(1) | {"png": b""}, status.EMPTY_IMAGE),
        (members_of(1) | {"txt": b"caf\xe9"}, status.BAD_CAPTION),
        (without(members_of(1) | {"json": b'{"uid": "' + b"0" * 32 + b'"}'}, "txt"), status.NO_CAPTION),
        (without(members_of(1) | {"json": b'{"uid": "' + b"0" * 32 + b'", "caption": 5}'}, "txt"), status.NO_CAPTION),
        (members_of(1, uid="not hex"), status.NO_UID),
        (members_of(1, uid=17), status.NO_UID),
        (members_of(1, uid=[]), status.NO_UID),
        (members_of(1, uid=""), status.NO_UID),
        (members_of(1) | {"json": b"{"}, status.BAD_JSON),
        (members_of(1) | {"json": b""}, status.BAD_JSON),
        (members_of(1) | {"json": b"\xff\xfe\x00"}, status.BAD_JSON),
        (members_of(1) | {"json": b"[" * 200_000}, status.BAD_JSON),
    ],
)
def test_a_bad_sample_is_a_row_between_good_ones(sample: dict[str, bytes], expected: str) -> None:
    found = rows(shard_of([members_of(0), sample, members_of(2)]))
    assert [row.status for row in found] == [status.OK, expected, status.OK]
    assert [row.row for row in found] == [0, 1, 2]
    assert found[1].detail


@pytest.mark.parametrize(
    ("sample", "made_of"),
    [
        (members_of(1, uid=None), "caption 1" + "1"),
        ({name: data for name, data in members_of(1).items() if name != "json"}, "k" + "a/0.tar"),
        (members_of(1) | {"json": b"[1]"}, "k" + "a/0.tar"),
        (members_of(1) | {"json": b'{"url": ""}'}, "k" + "a/0.tar"),
        (members_of(1) | {"json": b'{"url": 5, "caption": "x"}'}, "k" + "a/0.tar"),
        (members_of(1) | {"json": '{"url": "http://x/\u00e9"}'.encode()}, "caption 1" + "http://x/\u00e9"),
        ({"jpg": b"i", "json": b'{"url": "u", "caption": "from the json"}'}, "from the json" + "u"),
    ],
)
@pytest.mark.parametrize("folder", ["", "./"])
def test_a_sample_without_a_uid_gets_that_of_its_caption_and_url_or_of_its_place(
    sample: dict[str, bytes], made_of: str, folder: str
) -> None:
    raw = tar_of((f"{folder}k.{suffix}", data) for suffix, data in sample.items())
    (found,) = read_samples(io.BytesIO(raw), shard="a/0.tar")
    assert (found.status, found.uid_hex) == (status.OK, hashlib.md5(made_of.encode()).hexdigest())
    assert found.uid_rule == (status.OF_KEY_AND_SHARD if "0.tar" in made_of else status.OF_CAPTION_AND_URL)


def test_half_a_character_in_an_address_is_none_of_the_samples_faults() -> None:
    (found,) = rows(shard_of([members_of(1) | {"json": b'{"url": "http://x/\\ud83d"}'}]))
    assert (found.status, found.uid_rule) == (status.OK, status.OF_CAPTION_AND_URL)


def test_a_byte_order_mark_is_no_letter_of_a_caption() -> None:
    text = {**members_of(1), "txt": "\ufeffa \ufeffcat".encode()}
    json_only = {"png": b"x", "json": json.dumps({"uid": "0" * 32, "caption": "\ufeffa \ufeffcat"}).encode()}
    assert [row.caption for row in rows(shard_of([text, json_only]))] == ["a \ufeffcat"] * 2


def test_members_that_are_of_no_sample_by_their_names_are_passed_over() -> None:
    def noisy(number: int, junk: bytes) -> Iterable[tuple[str, bytes]]:
        for suffix, data in members_of(number).items():
            yield from [(f"./._{number}.{suffix}", junk), (f"./{number}.{suffix}", data), ("./.DS_Store", junk)]
        yield "LICENSE", junk

    raw = tar_of([("README", b"x"), *(each for number in range(4) for each in noisy(number, b"\0\5\x16\7"))])
    plain = tar_of((f"./{n}.{suffix}", data) for n in range(4) for suffix, data in members_of(n).items())
    assert [(row.row, row.key, row.uid, row.image, row.caption, row.status) for row in rows(raw)] == [
        (row.row, row.key, row.uid, row.image, row.caption, status.OK) for row in rows(plain)
    ]


def test_half_a_character_in_the_json_is_a_bad_caption() -> None:
    sample = without(
        members_of(1, caption="x") | {"json": b'{"uid": "' + b"0" * 32 + b'", "caption": "\\ud83d"}'}, "txt"
    )
    assert [row.status for row in rows(shard_of([sample]))] == [status.BAD_CAPTION]


def test_a_caption_in_the_json_serves_where_there_is_no_text() -> None:
    assert [row.caption for row in rows(shard_of([without(members_of(3), "txt")]))] == ["caption 3"]


@pytest.mark.parametrize("suffix", ["jpg", "JPG", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff"])
def test_every_image_suffix_is_an_image(suffix: str) -> None:
    sample = without(members_of(1), "png") | {suffix: b"bytes"}
    found = rows(shard_of([sample, members_of(2)]))
    assert [row.status for row in found] == [status.OK, status.OK]
    assert found[0].image == b"bytes"


def test_members_of_other_kinds_change_nothing() -> None:
    extra = {"cls": b"3", "npy": b"\x93NUMPY", "mask.png": b"not the image", "": b"no suffix"}
    found = rows(shard_of([members_of(0) | extra, members_of(1)]))
    assert [row.status for row in found] == [status.OK, status.OK]
    assert found[0].image == picture(0)


def test_a_truncated_image_is_left_to_the_decoder() -> None:
    found = rows(shard_of([members_of(0) | {"png": picture(0)[:50]}]))
    assert [(row.status, len(row.image)) for row in found] == [(status.OK, 50)]


def test_a_repeated_key_or_uid_is_another_row() -> None:
    names = [(f"same.{suffix}", data) for suffix, data in members_of(0).items()]
    found = rows(tar_of(names * 3))
    assert [row.status for row in found] == [status.OK] * 3
    assert len({row.uid for row in found}) == 1


def test_an_empty_shard_has_no_rows() -> None:
    assert rows(shard_of([])) == []
    assert rows(b"") == []


def test_damage_keeps_the_rows_before_it() -> None:
    raw = shard_of(members_of(number) for number in range(4))
    third = rows(raw)[2]
    broken = bytearray(raw)
    broken[third.offset + 3] ^= 1
    found = rows(bytes(broken))
    assert [row.status for row in found] == [status.OK, status.OK, status.DAMAGED_TAR]
    assert found[2].offset == third.offset
    assert found[2].detail == f"header checksum does not match at byte {third.offset}"


def test_a_sample_that_the_cut_left_incomplete_is_the_damaged_row() -> None:
    raw = shard_of(members_of(number) for number in range(3))
    members = list(walk_tar(io.BytesIO(raw)))
    second_image = members[4]
    found = rows(raw[: second_image.end - 1])
    assert [row.status for row in found] == [status.OK, status.DAMAGED_TAR]
    assert (found[1].row, found[1].key) == (1, "000000000001")
    assert found[1].offset == members[3].offset


def test_a_sample_whose_json_was_cut_off_gets_no_other_uid() -> None:
    raw = tar_of((f"{n}.{suffix}", members_of(n)[suffix]) for n in range(2) for suffix in ("png", "txt", "json"))
    json_member = list(walk_tar(io.BytesIO(raw)))[5]
    assert [row.status for row in rows(raw[: json_member.end - 1])] == [status.OK, status.DAMAGED_TAR]


def test_every_cut_gives_whole_rows_and_at_most_one_damaged() -> None:
    raw = shard_of(members_of(number) for number in range(3))
    whole = rows(raw)
    for cut in range(1, len(raw), 101):
        found = rows(raw[:cut])
        good = [row for row in found if row.status == status.OK]
        # The text is last, and the json has the caption too: a sample that lacks no more than that is whole.
        for row, expected in zip(good, whole, strict=False):
            assert (row.row, row.uid, row.image, row.caption) == (
                expected.row,
                expected.uid,
                expected.image,
                expected.caption,
            )
        assert [row.row for row in found] == list(range(len(found)))
        assert sum(row.status == status.DAMAGED_TAR for row in found) <= 1


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("000.jpg", ("000", "jpg")),
        ("a/b.c/000.seg.PNG", ("a/b.c/000", "seg.png")),
        ("README", ("README", "")),
        ("./x.txt", ("./x", "txt")),
    ],
)
def test_keys_end_at_the_first_dot_after_the_last_slash(name: str, parts: tuple[str, str]) -> None:
    assert split_name(name) == parts
