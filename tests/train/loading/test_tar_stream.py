"""Shards as streams, on tars of every kind, against a plain reader and what webdataset makes of the sound ones."""

import gzip
import io
import logging
import tarfile
from pathlib import Path

import pytest

from datascaler import storage
from datascaler.data.pool.samples import read_samples
from datascaler.data.pool.shards import Shard, find_shards
from datascaler.errors import ConfigError
from datascaler.train.loading import tar_stream
from datascaler.train.loading.tar_stream import usable_samples
from tests.data.plain_tar import plain_samples
from tests.data.tars import members_of, read_with_webdataset, shard_of, tar_of
from tests.limits import within

PLAIN = shard_of(members_of(number) for number in range(6))
LAST = max(sample.offset for sample in read_samples(io.BytesIO(PLAIN)))


def odd_members() -> list[tuple[str, bytes]]:
    """Folders, dots, names that come twice, a member order of its own, and rows that are not ok."""
    rows = [members_of(number) for number in range(9)]
    rows[2]["txt"] = b"\xff"
    rows[3]["json"] = b"{"
    rows[4] = {"txt": b"no image", "json": rows[4]["json"]}
    rows[5]["png"] = b""
    rows[6] = {"png": rows[6]["png"], "json": rows[6]["json"]}
    members = [(f"a.b/{number}.{suffix}", data) for number, row in enumerate(rows) for suffix, data in row.items()]
    members += [(f"same.{suffix}", data) for row in (members_of(10), members_of(11)) for suffix, data in row.items()]
    members += [("no suffix", b"x"), (".hidden", b"y"), ("__meta__/x.txt", b"z"), ("UPPER.PNG", rows[0]["png"])]
    members += [("UPPER.TXT", b"up"), ("UPPER.Json", rows[7]["json"])]
    return [*members, *((f"{'long' * 40}.{suffix}", data) for suffix, data in members_of(12).items())]


TARS = {
    "plain": PLAIN,
    "gnu": tar_of(odd_members(), tarfile.GNU_FORMAT),
    "pax": tar_of(odd_members(), tarfile.PAX_FORMAT),
    "without samples": tar_of([]),
    "empty": b"",
    "cut in a member": PLAIN[: LAST + 600],
    "cut in a header": PLAIN[: LAST + 100],
    "cut between samples": PLAIN[:LAST],
    "a bad header": PLAIN[: LAST + 3] + b"!" + PLAIN[LAST + 4 :],
    "no tar": b"garbage!" * 1000,
    "zeros": bytes(2048),
}


def pinned(path: Path, content: bytes) -> Shard:
    path.write_bytes(content)
    return find_shards(str(path))[0]


@pytest.mark.parametrize("kind", TARS)
def test_the_usable_samples_are_those_of_a_plain_reader(kind: str, tmp_path: Path) -> None:
    expected = [(each.key, _pair(each.uid), each.image, each.caption) for each in plain_samples(TARS[kind])]
    found = list(usable_samples(pinned(tmp_path / "0.tar", TARS[kind])))
    assert [(sample.key, sample.uid, sample.image, sample.caption) for sample in found] == expected
    if kind in ("plain", "gnu", "pax"):
        assert len(expected) == {"plain": 6}.get(kind, 9)


def test_the_samples_of_a_sound_tar_are_those_of_webdataset(tmp_path: Path) -> None:
    found = [(sample.key, sample.image) for sample in usable_samples(pinned(tmp_path / "0.tar", PLAIN))]
    assert found == [(sample["__key__"], sample["png"]) for sample in read_with_webdataset(tmp_path / "0.tar")]


def test_damage_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tar_stream._warn.cache_clear()
    shard = pinned(tmp_path / "0.tar", TARS["cut in a member"])
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert len(list(usable_samples(shard))) == 5
    assert len(caplog.messages) == 1
    assert "0.tar is damaged (truncated member at byte" in caplog.messages[0]


def test_a_shard_that_was_replaced_is_refused(tmp_path: Path) -> None:
    shard = pinned(tmp_path / "0.tar", PLAIN)
    (tmp_path / "0.tar").write_bytes(PLAIN + bytes(512))
    with pytest.raises(ConfigError, match=r"shard .*0\.tar has changed"):
        list(usable_samples(shard))


def test_a_shard_in_object_storage(s3_url: str) -> None:
    storage.publish_bytes(f"{s3_url}/0.tar", PLAIN)
    (shard,) = find_shards(s3_url)
    assert [sample.caption for sample in usable_samples(shard)] == [f"caption {number}" for number in range(6)]


def _pair(uid: str) -> tuple[int, int]:
    return int(uid[:16], 16), int(uid[16:], 16)


def pax_tar(name: str, records: dict[str, str], content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo(name)
        info.size, info.pax_headers = len(content), records
        tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def compressed_name() -> bytes:
    """A tar whose first file's name begins as a gzip stream of a gigabyte does."""
    bomb = gzip.compress(bytes(64 << 20), 9)
    raw = bytearray(tar_of([("a" * 90 + ".jpg", bomb)]))
    raw[:4] = b"\x1f\x8b\x08\x04"
    raw[148:156] = b" " * 8
    raw[148:156] = f"{sum(raw[:512]):06o}\0 ".encode()
    return bytes(raw)


SPARSE = {
    "GNU.sparse.major": "1",
    "GNU.sparse.minor": "0",
    "GNU.sparse.name": "a.png",
    "GNU.sparse.realsize": str(1 << 40),
}


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(pax_tar("a.png", SPARSE, b"1\n0\n1\n".ljust(512, b"\0") + b"x"), id="a sparse terabyte"),
        pytest.param(pax_tar("a.png", {"GNU.sparse.size": str(1 << 40), "GNU.sparse.map": "0,1"}, b"x"), id="older"),
        pytest.param(compressed_name(), id="a gzip stream in a name"),
        pytest.param(gzip.compress(bytes(64 << 20)), id="a gzip stream"),
    ],
)
def test_what_unpacks_to_gigabytes_is_not_unpacked(raw: bytes, tmp_path: Path) -> None:
    try:
        shard = pinned(tmp_path / "0.tar", raw)
    except ConfigError:
        return  # refused by name
    with within(megabytes=150):
        assert all(len(sample.image) <= len(raw) for sample in usable_samples(shard))
