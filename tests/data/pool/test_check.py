"""The pre-flight check finds every fault that was put into a pool, and nothing in a good one."""

import random
from pathlib import Path

import pytest

from datascaler import storage
from datascaler.data.make.write_pool import write_pool
from datascaler.data.pool import check_layout
from datascaler.data.pool import samples as status
from datascaler.data.pool.check import Damage, PoolReport, Spread, check_pool
from datascaler.data.pool.pool_rows import PoolSample
from datascaler.data.pool.uids import uid_of
from datascaler.errors import ConfigError
from tests.data.tars import members_of, picture, shard_of, tar_of


def good_pool(folder: str, count: int = 12, per_shard: int = 3) -> None:
    write_pool(
        folder,
        (
            PoolSample(image=picture(number, size=(10 + number, 8)), suffix="png", caption="c" * (number + 1), url="u")
            for number in range(count)
        ),
        per_shard,
    )


def put(folder: Path, name: str, *samples: dict[str, bytes]) -> Path:
    storage.publish_bytes(f"{folder}/shards/{name}", shard_of(samples))
    return folder / "shards" / name


def test_a_good_pool_on_s3(s3_url: str) -> None:
    good_pool(f"{s3_url}/pool")
    report = check_pool(f"{s3_url}/pool", num_workers=2)
    assert report.faults == []
    assert (report.shards_found, report.shards_checked, report.samples, report.images_decoded) == (4, 4, 12, 12)
    assert report.statuses == {status.OK: 12}
    assert report.image_side == Spread(count=12, smallest=10, median=15, mean=15.5, largest=21)
    assert report.caption_length == Spread(count=12, smallest=1, median=6, mean=6.5, largest=12)
    assert report.bytes == sum(info.size for info in storage.list_files(f"{s3_url}/pool/shards", ".tar"))
    nothing = (report.missing_shards, report.empty_shards, report.damaged_shards, report.stats_mismatches)
    assert nothing == ((), (), (), ())
    assert (report.unreadable_shards, report.duplicate_uids, report.bad_examples) == ({}, 0, ())


def test_bad_samples_are_counted_by_status(tmp_path: Path) -> None:
    bad = [
        members_of(1) | {"png": picture(1, size=(64, 64))[:-60]},
        members_of(2) | {"png": b""},
        members_of(3) | {"txt": b"\xff"},
        members_of(4, uid="4"),
        members_of(5) | {"json": b"{"},
    ]
    put(tmp_path, "00000000.tar", members_of(0), *bad, members_of(6))
    report = check_pool(str(tmp_path))
    assert report.statuses == {
        status.OK: 2,
        status.BAD_IMAGE: 1,
        status.EMPTY_IMAGE: 1,
        status.BAD_CAPTION: 1,
        status.NO_UID: 1,
        status.BAD_JSON: 1,
    }
    assert (report.samples, report.faults) == (7, ["bad rows: 5"])
    assert len(report.bad_examples) == 3
    assert report.bad_examples[0].startswith("shards/00000000.tar 000000000002: empty image")


def test_damage_is_reported_with_its_offset(tmp_path: Path) -> None:
    good_pool(str(tmp_path))
    first = tmp_path / "shards/00000000.tar"
    whole = first.read_bytes()
    first.write_bytes(whole[: 3 * 512 + 100])
    second = bytearray((tmp_path / "shards/00000001.tar").read_bytes())
    second[4096] ^= 1
    (tmp_path / "shards/00000001.tar").write_bytes(bytes(second))
    (tmp_path / "shards/00000002.tar").write_bytes(b"")
    report = check_pool(str(tmp_path))
    assert report.damaged_shards == (
        Damage("shards/00000000.tar", 1024, "truncated member"),
        Damage("shards/00000001.tar", 4096, "header checksum does not match"),
        Damage("shards/00000002.tar", 0, "the end-of-archive mark is missing"),
    )
    assert report.statuses[status.DAMAGED_TAR] == 2
    assert report.stats_mismatches == (
        "shards/00000000.tar: 3 samples promised, 0 found",
        "shards/00000001.tar: 3 samples promised, 1 found",
        "shards/00000002.tar: 3 samples promised, 0 found",
    )
    assert report.faults == ["damaged shards: 3", "shards that differ from their stats.json: 3", "bad rows: 2"]


def test_a_tar_cut_between_two_members_lacks_its_mark(tmp_path: Path) -> None:
    path = put(tmp_path, "00000000.tar", members_of(0), members_of(1))
    raw = path.read_bytes()
    end = len(raw.rstrip(b"\0")) // 512 * 512 + 512
    path.write_bytes(raw[:end])
    report = check_pool(str(tmp_path))
    assert report.samples == 2
    assert report.damaged_shards == (Damage("shards/00000000.tar", end, "the end-of-archive mark is missing"),)


def test_gaps_and_empty_shards_are_no_faults(tmp_path: Path) -> None:
    for number in (0, 2, 3, 7):
        put(tmp_path, f"{number:08d}.tar", *([] if number == 3 else [members_of(number)]))
    report = check_pool(str(tmp_path))
    assert report.missing_shards == ("shards/00000001", "shards/00000004 to 00000006")
    assert report.empty_shards == ("shards/00000003.tar",)
    assert report.faults == []


def test_duplicate_uids_across_the_pool(tmp_path: Path) -> None:
    for shard in range(3):
        put(tmp_path, f"{shard:08d}.tar", members_of(1), members_of(10 + shard), members_of(20 + shard // 2))
    report = check_pool(str(tmp_path))
    assert report.duplicate_uids == 3
    assert report.duplicate_examples == tuple(sorted([uid_of("caption 1", "1"), uid_of("caption 20", "20")]))
    assert report.faults == []


def test_duplicates_against_a_plain_count(tmp_path: Path) -> None:
    generator = random.Random(3)
    uids = [f"{generator.randrange(40):x}".ljust(32, "5") for _ in range(90)]
    for shard in range(3):
        put(tmp_path, f"{shard:08d}.tar", *(members_of(0, uid=uid) for uid in uids[30 * shard : 30 * shard + 30]))
    assert check_pool(str(tmp_path), decode=0).duplicate_uids == 90 - len(set(uids))


def test_the_same_images_are_decoded_every_time(tmp_path: Path) -> None:
    good_pool(str(tmp_path), count=40, per_shard=20)
    reports = [check_pool(str(tmp_path), decode=5, num_workers=workers) for workers in (1, 3)]
    assert reports[0] == reports[1]
    assert reports[0].images_decoded == 10
    assert check_pool(str(tmp_path), decode=None).images_decoded == 40
    none = check_pool(str(tmp_path), decode=0)
    assert (none.images_decoded, none.image_side, none.statuses) == (0, None, {status.OK: 40})


def test_decode_all_finds_the_one_bad_image(tmp_path: Path) -> None:
    samples = [members_of(number) for number in range(60)]
    samples[41]["png"] = samples[41]["png"][:-30]
    put(tmp_path, "00000000.tar", *samples)
    assert check_pool(str(tmp_path), decode=None).statuses == {status.OK: 59, status.BAD_IMAGE: 1}


def test_an_even_spread_of_shards(tmp_path: Path) -> None:
    good_pool(str(tmp_path), count=10, per_shard=1)
    report = check_pool(str(tmp_path), shards=3)
    assert (report.shards_found, report.shards_checked, report.samples) == (10, 3, 3)
    # Shards 0, 3 and 6 hold captions of 1, 4 and 7 letters.
    assert report.caption_length == Spread(count=3, smallest=1, median=4, mean=4.0, largest=7)
    assert check_pool(str(tmp_path), shards=50).shards_checked == 10


def test_a_shard_that_can_not_be_read(tmp_path: Path) -> None:
    put(tmp_path, "00000000.tar", members_of(0))
    (tmp_path / "shards/00000001.tar").symlink_to(tmp_path / "nowhere")
    report = check_pool(str(tmp_path))
    assert list(report.unreadable_shards) == ["shards/00000001.tar"]
    assert "not found" in report.unreadable_shards["shards/00000001.tar"]
    assert (report.samples, report.faults) == (1, ["unreadable shards: 1"])


def test_stats_that_are_no_stats(tmp_path: Path) -> None:
    for number, text in enumerate(('{"successes": 1}', "{", "[]", '{"successes": 5}')):
        put(tmp_path, f"{number:08d}.tar", members_of(number))
        (tmp_path / f"shards/{number:08d}_stats.json").write_text(text)
    mismatches = check_pool(str(tmp_path)).stats_mismatches
    assert [line.partition(":")[0] for line in mismatches] == [f"shards/{number:08d}.tar" for number in (1, 2, 3)]
    assert "not valid JSON" in mismatches[0]
    assert mismatches[1:] == (
        "shards/00000002.tar: None samples promised, 1 found",
        "shards/00000003.tar: 5 samples promised, 1 found",
    )


def test_bad_numbers_and_empty_folders(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no \.tar files"):
        check_pool(str(tmp_path))
    with pytest.raises(ConfigError, match="decode must be at least 0, got -1"):
        check_pool(str(tmp_path), decode=-1)
    with pytest.raises(ConfigError, match="shards must be at least 1, got 0"):
        check_pool(str(tmp_path), shards=0)
    with pytest.raises(ConfigError, match="num-workers must be at least 1, got 0"):
        check_pool(str(tmp_path), num_workers=0)


def test_a_shard_without_uids(tmp_path: Path) -> None:
    put(tmp_path, "00000000.tar", members_of(0, uid="0"))
    report = check_pool(str(tmp_path))
    assert (report.statuses, report.duplicate_uids) == ({status.NO_UID: 1}, 0)


def layout_of(folder: Path, *members: tuple[str, bytes], behind: bytes = b"") -> PoolReport:
    folder.mkdir(exist_ok=True)
    (folder / "0.tar").write_bytes(tar_of(members) + behind)
    return check_pool(str(folder))


def named(prefix: str, number: int) -> list[tuple[str, bytes]]:
    return [(f"{prefix}{suffix}", data) for suffix, data in members_of(number).items()]


def test_members_that_are_passed_over_are_counted_and_no_fault(tmp_path: Path) -> None:
    junk = [("./._a.png", b"\0\5\x16\7"), ("./.DS_Store", b"x"), ("README", b"x")]
    report = layout_of(tmp_path, *junk, *named("./a.", 0), *junk)
    assert (report.statuses, report.layout, report.faults) == ({status.OK: 1}, {check_layout.PASSED_OVER: 6}, [])
    assert report.layout_examples[0] == f"0.tar ./._a.png: {check_layout.PASSED_OVER}"


def test_names_with_several_dots_are_the_named_cause(tmp_path: Path) -> None:
    """`image.0001.jpg` makes one sample of all; `0001.input.jpg` and `0001.outputs.txt` make samples without images."""
    melted = layout_of(
        tmp_path / "melted", *(each for number in range(20) for each in named(f"image.{number:04d}.", number))
    )
    assert (melted.samples, melted.layout) == (1, {check_layout.DOTTED: 20})
    assert f"{check_layout.DOTTED}: 20" in melted.faults
    assert melted.layout_examples[0] == f"0.tar image.0000.png: {check_layout.DOTTED}"
    split = [(f"{n}.{name}", data) for n in range(3) for name, data in (("in.jpg", b"x"), ("out.txt", b"x"))]
    assert layout_of(tmp_path / "split", *split).layout == {check_layout.DOTTED: 3}
    # Another picture beside the sample's own is none of this.
    assert layout_of(tmp_path / "beside", *named("a.", 0), ("a.depth.png", b"x")).layout == {}


def test_members_that_lie_apart_are_the_named_cause(tmp_path: Path) -> None:
    """As `tar --sort=none` or a sort by suffix leave them."""
    members = sorted(
        (each for n in range(5) for each in named(f"{n}.", n)), key=lambda each: each[0].rpartition(".")[2]
    )
    report = layout_of(tmp_path, *members)
    assert (report.samples, report.layout) == (15, {check_layout.APART: 5})
    assert report.faults[0] == "usable samples: 0 of 15"
    assert f"{check_layout.APART}: 5" in report.faults


@pytest.mark.parametrize("archives", [1, 2])
def test_samples_behind_the_end_mark_are_the_named_cause(tmp_path: Path, archives: int) -> None:
    """`cat a.tar b.tar > c.tar`"""
    more = b"".join(shard_of([members_of(9 + number), members_of(12)]) for number in range(archives))
    report = layout_of(tmp_path, *named("a.", 0), behind=bytes(7168) + more)
    assert (report.samples, report.statuses) == (1, {status.OK: 1})
    assert (report.layout, report.faults) == (
        {check_layout.BEHIND: 2 * archives},
        [f"{check_layout.BEHIND}: {2 * archives}"],
    )
    for behind in (bytes(1 << 21), b"no archive" * 500):
        assert layout_of(tmp_path, *named("a.", 0), behind=behind).layout == {}
