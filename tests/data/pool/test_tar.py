"""The block walker against Python's tarfile, and against archives that are damaged."""

import bz2
import gzip
import io
import lzma
import random
import tarfile
from itertools import pairwise
from pathlib import Path

import pytest

from datascaler.data.pool import tar as tar_module
from datascaler.data.pool.tar import BLOCK_BYTES, Member, plain_header, scan_tar, walk_tar
from datascaler.data.pool.write_tar import TarWriter
from datascaler.errors import TarDamageError
from tests.data.tars import tar_of
from tests.limits import within

SIZES = (0, 1, 511, 512, 513, 5000)
FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def walked(raw: bytes, base: int = 0) -> list[Member]:
    return list(walk_tar(io.BytesIO(raw), base))


def damage(raw: bytes) -> tuple[list[Member], TarDamageError | None]:
    """The members before the fault, and the fault."""
    members: list[Member] = []
    try:
        members.extend(walk_tar(io.BytesIO(raw)))
    except TarDamageError as error:
        return members, error
    return members, None


def signed(header: bytes) -> bytes:
    """The header with its checksum set right."""
    blank = header[:148] + b" " * 8 + header[156:]
    return header[:148] + f"{sum(blank):06o}\0 ".encode() + header[156:]


def rich_archive(format_: int) -> bytes:
    """Files of every kind of size and name, with directories and links between them."""
    long_names = ["x" * 100, "d" * 60 + "/" + "e" * 90]
    if format_ != tarfile.USTAR_FORMAT:
        long_names += ["f" * 101, "deep/" * 60 + "g" * 200, "naïve/日本.txt"]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format_) as tar:
        for number, name in enumerate(["a.jpg", "folder/b.txt", *long_names]):
            folder = tarfile.TarInfo(f"folder-{number}/")
            folder.type = tarfile.DIRTYPE
            tar.addfile(folder)
            for size in SIZES:
                info = tarfile.TarInfo(f"{name[:-4]}{size:04d}")
                info.size = size
                tar.addfile(info, io.BytesIO(bytes([number]) * size))
            for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                link = tarfile.TarInfo(f"{name[:-4]}link")
                link.type, link.linkname = kind, "a.jpg0512"
                tar.addfile(link)
    return buffer.getvalue()


@pytest.mark.parametrize("format_", FORMATS.values(), ids=FORMATS)
def test_names_contents_and_offsets_equal_tarfile(format_: int) -> None:
    raw = rich_archive(format_)
    found = walked(raw)
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        expected = [info for info in tar.getmembers() if info.isreg()]
        assert [member.name for member in found] == [info.name for info in expected]
        for member, info in zip(found, expected, strict=True):
            file = tar.extractfile(info)
            assert file is not None
            assert member.data == file.read()
            assert member.end == info.offset_data + -(-info.size // BLOCK_BYTES) * BLOCK_BYTES
            assert member.offset <= info.offset
    # What lies between two files (directories, links) starts no piece of its own.
    assert all(before.end <= after.offset for before, after in pairwise(found))


@pytest.mark.parametrize("format_", FORMATS.values(), ids=FORMATS)
def test_a_member_begins_at_its_first_extension_header(format_: int) -> None:
    names = ["short.txt", "n" * 90, *([] if format_ == tarfile.USTAR_FORMAT else ["long" * 60, "日本"])]
    raw = tar_of([(name, name.encode()) for name in names], format_)
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        assert [member.offset for member in walked(raw)] == [info.offset for info in tar.getmembers()]


@pytest.mark.parametrize("format_", FORMATS.values(), ids=FORMATS)
def test_the_piece_between_offset_and_end_is_an_archive(format_: int) -> None:
    raw = rich_archive(format_)
    for member in walked(raw):
        assert walked(raw[member.offset : member.end], member.offset) == [member]


def test_sizes_in_base_256_and_in_pax_records() -> None:
    plain = tar_of([("a", b"x" * 700), ("b", b"y")])
    large = signed(plain[:124] + b"\x80" + (700).to_bytes(11, "big") + plain[136:BLOCK_BYTES]) + plain[BLOCK_BYTES:]
    assert [len(member.data) for member in walked(large)] == [700, 1]

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("a")
        info.size, info.pax_headers = 700, {"size": "700"}
        tar.addfile(info, io.BytesIO(b"x" * 700))
    raw = buffer.getvalue()
    header = 2 * BLOCK_BYTES
    no_size = signed(raw[header : header + 124] + b"0" * 11 + b"\0" + raw[header + 136 : header + BLOCK_BYTES])
    raw = raw[:header] + no_size + raw[header + BLOCK_BYTES :]
    assert [len(member.data) for member in walked(raw)] == [700]


def test_a_directory_of_before_there_were_types_is_no_file() -> None:
    raw = tar_of([("dir", b""), ("file", b"x")])
    old = signed(b"dir/".ljust(100, b"\0") + raw[100:156] + b"\0" + raw[157:BLOCK_BYTES])
    assert [member.name for member in walked(old + raw[BLOCK_BYTES:])] == ["file"]


def test_an_archive_cut_anywhere_keeps_what_was_before_the_cut() -> None:
    raw = tar_of([(f"{size}.bin", b"z" * size) for size in SIZES])
    whole = walked(raw)
    for cut in range(0, whole[-1].end + BLOCK_BYTES, 37):
        members, fault = damage(raw[:cut])
        assert members == [member for member in whole if member.end <= cut]
        last = members[-1].end if members else 0
        # A cut between two members can't be told from the end of an archive that lacks its mark.
        assert (fault.offset if fault else None) == (last if cut > last else None)


def test_a_cut_names_the_member_that_it_hit() -> None:
    raw = tar_of([("a", b"x" * 600), ("b", b"y" * 600)])
    second = walked(raw)[1]
    for cut, reason in ((second.offset + 100, "truncated header"), (second.offset + 700, "truncated member")):
        members, fault = damage(raw[:cut])
        assert [member.name for member in members] == ["a"]
        assert str(fault) == f"{reason} at byte {second.offset}"


def test_a_changed_header_is_found_at_its_offset() -> None:
    raw = tar_of([("a", b"x" * 600), ("b", b"y" * 600), ("c", b"z")])
    second = walked(raw)[1].offset
    # The last two bytes of the checksum field only end it.
    for position in [*range(154), *range(156, BLOCK_BYTES)]:
        broken = bytearray(raw)
        broken[second + position] ^= 1
        members, fault = damage(bytes(broken))
        assert [member.name for member in members] == ["a"]
        assert fault is not None
        assert fault.offset == second


@pytest.mark.parametrize(
    "record", [b"99 path=x\n", b"3 =\n", b"path=x\n", b"-9 path=xx\n", b"12 size=abc\n", b"9" * 5000 + b" a=b\n"]
)
def test_bad_pax_records_are_damage(record: bytes) -> None:
    first = tar_of([("a", b"x")])[: 2 * BLOCK_BYTES]
    pax = tar_of([("pax", record)])
    header = signed(pax[:156] + b"x" + pax[157:BLOCK_BYTES])
    members, fault = damage(first + header + pax[BLOCK_BYTES:])
    assert [member.name for member in members] == ["a"]
    assert str(fault) == f"bad pax header at byte {2 * BLOCK_BYTES}"


def test_a_size_that_is_nonsense_is_a_truncated_member() -> None:
    raw = tar_of([("a", b"x")])
    header = signed(raw[:124] + b"\x80" + b"\x7f" * 11 + raw[136:BLOCK_BYTES])
    members, fault = damage(header + raw[BLOCK_BYTES:])
    assert members == []
    assert str(fault) == "truncated member at byte 0"


def test_random_damage_never_raises_anything_else() -> None:
    generator = random.Random(0)
    raw = tar_of([("n" * 120 + f"{number}", b"x" * 700) for number in range(4)], tarfile.PAX_FORMAT)
    for _ in range(2000):
        broken = bytearray(raw)
        for _ in range(generator.randint(1, 4)):
            broken[generator.randrange(len(broken))] = generator.randrange(256)
        damage(bytes(broken))


def test_what_the_writer_wrote_tarfile_and_the_walker_read_alike() -> None:
    buffer = io.BytesIO()
    with TarWriter(buffer) as tar:
        tar.add_sample("000000000000", {"txt": b"text", "jpg": b"image", "json": b"{}"})
        tar.add_sample("000000000001", {"webp": b"", "json": b"[]"})
    raw = buffer.getvalue()
    names = [member.name for member in walked(raw)]
    assert names == [f"{0:012d}.jpg", f"{0:012d}.json", f"{0:012d}.txt", f"{1:012d}.json", f"{1:012d}.webp"]
    with tarfile.open(fileobj=io.BytesIO(raw)) as read:
        assert read.getnames() == names
        for info in read:
            assert (info.mode, info.mtime, info.uid, info.gid, info.uname, info.gname) == (
                0o444,
                0,
                0,
                0,
                "bigdata",
                "bigdata",
            )
    assert raw[257:263] == b"ustar\0"


def test_a_writer_whose_body_raises_does_not_end_the_archive() -> None:
    buffer = io.BytesIO()
    with pytest.raises(RuntimeError), TarWriter(buffer) as tar:
        tar.add("a", b"x")
        raise RuntimeError
    assert len(buffer.getvalue()) == 2 * BLOCK_BYTES


@pytest.mark.parametrize("at", [1, 2, 511, 512, 600, 1 << 20])
def test_a_block_of_zeros_inside_is_no_end(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """A store or a disk that lost a block gives zeros; the mark of the end is two of them."""
    monkeypatch.setattr(tar_module, "_READ_BYTES", at)
    raw = tar_of([("a", b"x" * 600), ("b", b"y"), ("c", b"z")])
    second = 3 * BLOCK_BYTES
    members, fault = damage(raw[:second] + bytes(BLOCK_BYTES) + raw[second + BLOCK_BYTES :])
    assert [member.name for member in members] == ["a"]
    assert str(fault) == f"zeros in place of a header at byte {second}"
    files = raw[: 7 * BLOCK_BYTES]
    for end in (b"", bytes(BLOCK_BYTES), bytes(2 * BLOCK_BYTES), bytes(2 * BLOCK_BYTES) + raw):
        assert [member.name for member in walked(files + end)] == ["a", "b", "c"]


@pytest.mark.parametrize("format_", FORMATS.values(), ids=list(FORMATS))
def test_a_plain_header_says_what_the_scan_says(format_: int) -> None:
    raw = rich_archive(format_)
    scanned = {entry.start - BLOCK_BYTES: (entry.name, entry.stop - entry.start) for entry in scan_tar(raw).entries}
    found = {at: plain_header(raw[at : at + BLOCK_BYTES]) for at in range(0, len(raw), BLOCK_BYTES)}
    plain = {at: header for at, header in found.items() if header is not None and at in scanned}
    assert len(plain) >= 2 * len(SIZES)
    assert {at: scanned[at] for at in plain if not is_extended(raw, at)} == {
        at: header for at, header in plain.items() if not is_extended(raw, at)
    }
    # Contents, folders, links and what extends a header are none.
    assert all(header is None for at, header in found.items() if at not in scanned)


def is_extended(raw: bytes, at: int) -> bool:
    """Whether a header before this one gives it a long name: two blocks before, its type."""
    return at >= 2 * BLOCK_BYTES and raw[at - 2 * BLOCK_BYTES + 156] in b"xL"


def test_a_header_with_a_changed_bit_is_not_plain() -> None:
    header = tar_of([("a.jpg", b"content")])[:BLOCK_BYTES]
    assert plain_header(header) == (b"a.jpg", 7)
    generator = random.Random(0)
    for _ in range(200):
        broken = bytearray(header)
        broken[generator.randrange(BLOCK_BYTES)] ^= 1 << generator.randrange(8)
        assert plain_header(bytes(broken)) in (None, (b"a.jpg", 7))
    assert plain_header(header[:-1]) is None
    assert plain_header(b"") is None


def extension(kind: bytes, content: bytes) -> bytes:
    raw = tar_of([("extension", content)])
    padded = BLOCK_BYTES + len(content) + -len(content) % BLOCK_BYTES
    return signed(raw[:156] + kind + raw[157:BLOCK_BYTES]) + raw[BLOCK_BYTES:padded]


def announced(size: int) -> bytes:
    """The header of a file of this size."""
    info = tarfile.TarInfo("a.jpg")
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize(
    ("attack", "reason"),
    [
        pytest.param(
            extension(b"x", b"5 a=\n" * 400_000), "1,048,576 bytes of extension headers", id="2 MB of records"
        ),
        pytest.param(extension(b"x", b"5 a=\n" * 200_000), "", id="many records"),
        pytest.param(extension(b"L", b"n" * 3_000_000), "1,048,576 bytes of extension headers", id="a long name"),
        pytest.param(extension(b"g", b"16 comment=hello\n") * 3000, "bytes of extension headers", id="many headers"),
        pytest.param(announced(1 << 40), "a member of 1,099,511,627,776 bytes", id="a terabyte"),
        pytest.param(announced(1 << 30), "a member of 1,073,741,824 bytes", id="a gigabyte"),
    ],
)
def test_what_would_take_minutes_or_gigabytes_is_damage(attack: bytes, reason: str, tmp_path: Path) -> None:
    first = tar_of([("a", b"x")])[: 2 * BLOCK_BYTES]
    (tmp_path / "a.tar").write_bytes(first + attack)
    with (tmp_path / "a.tar").open("r+b") as file:
        file.truncate((2 << 30) if reason.startswith("a member") else len(first + attack) + 10 * BLOCK_BYTES)
        names: list[str] = []
        fault = ""
        with within():
            try:
                names.extend(member.name for member in walk_tar(file))
            except TarDamageError as error:
                fault = str(error)
    assert names == ["a"]
    assert reason in fault


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (gzip.compress(tar_of([("a.jpg", b"x" * 900)])), "a gzip file in place of a tar: unpack it,"),
        (bz2.compress(tar_of([("a.jpg", b"x")])), "a bzip2 file in place of a tar: unpack it,"),
        (lzma.compress(tar_of([("a.jpg", b"x")])), "an xz file in place of a tar: unpack it,"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS in place of a tar"),
        (b"<html>" + b"403" * 900, "a web page in place of a tar"),
    ],
)
def test_what_is_no_tar_is_named(content: bytes, reason: str) -> None:
    members, fault = damage(content)
    assert members == []
    assert fault is not None
    assert str(fault).startswith(reason)
    assert fault.offset == 0


@pytest.mark.parametrize("kind", ["gnu", "pax"])
def test_sparse_members_are_refused_by_name(kind: str) -> None:
    """What `tar --sparse` makes of files with holes: a header of its own kind, or records that say where they are."""
    first = tar_of([("a.jpg", b"x")])[: 2 * BLOCK_BYTES]
    if kind == "gnu":
        raw = tar_of([("b.jpg", b"y" * 512)], tarfile.GNU_FORMAT)
        raw = signed(raw[:156] + b"S" + raw[157:BLOCK_BYTES]) + raw[BLOCK_BYTES:]
    else:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
            info = tarfile.TarInfo("GNUSparseFile.0/b.jpg")
            info.size, info.pax_headers = 512, {"GNU.sparse.major": "1", "GNU.sparse.name": "b.jpg"}
            tar.addfile(info, io.BytesIO(b"y" * 512))
        raw = buffer.getvalue()
    members, fault = damage(first + raw)
    assert [member.name for member in members] == ["a.jpg"]
    assert str(fault).startswith("a sparse member (of tar --sparse), which is not read")
    assert fault is not None
    assert fault.offset == 2 * BLOCK_BYTES
