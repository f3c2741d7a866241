"""Pools made from pictures and captions: the layout to the byte, every failure counted, reruns that go on."""

import csv
import io
import json
import tarfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from datascaler import storage
from datascaler.data.make.captions import CaptionColumns
from datascaler.data.make.make_pool import make_pool
from datascaler.data.make.write_pool import PoolWritten, write_pool
from datascaler.data.pool.parquet import read_parquet
from datascaler.data.pool.pool_rows import PoolSample
from datascaler.data.pool.samples import OK, Sample, read_samples
from datascaler.data.pool.shards import find_shards
from datascaler.data.pool.uids import split_uid, uid_of
from datascaler.errors import BadInputError, ConfigError, StorageError
from tests.data.tars import picture, read_with_webdataset

JSON_KEYS = ["uid", "caption", "url", "key", "status", "error_message", "width", "height"]
JSON_KEYS += ["original_width", "original_height", "exif", "sha256"]


def write_csv(path: Path, rows: list[dict[str, str]], **options: Any) -> str:
    with path.open("w", newline="", **options) as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Seven pictures of the three formats, in two folders."""
    folder = tmp_path / "images"
    (folder / "sub").mkdir(parents=True)
    for number, format_ in enumerate(("PNG", "JPEG", "WEBP", "PNG", "JPEG", "WEBP", "PNG")):
        name = f"{'sub/' if number % 2 else ''}{number}.{format_.lower()}"
        mode = "RGBA" if number == 3 else "RGB"
        (folder / name).write_bytes(picture(number, format_, (20 + number, 30), mode))
    return folder


@pytest.fixture
def captions(images: Path, tmp_path: Path) -> str:
    files = sorted(str(path.relative_to(images)) for path in images.rglob("*.*"))
    return write_csv(tmp_path / "captions.csv", [{"file": name, "caption": f"caption of {name}"} for name in files])


def samples_of(pool: str) -> list[Sample]:
    found = []
    for shard in find_shards(pool):
        with storage.open_read(shard.url) as file:
            found += list(read_samples(file))
    return found


def log_of(pool: str, shard: int = 0) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = read_parquet(f"{pool}/shards/{shard:08d}.parquet").to_pylist()
    return rows


def make(images: Path, captions: str, pool: Path, **options: Any) -> PoolWritten:
    return make_pool(str(images), captions, str(pool), **options)


def test_the_layout_is_datacomps(images: Path, captions: str, tmp_path: Path) -> None:
    pool = tmp_path / "pool"
    written = make(images, captions, pool, samples_per_shard=3)
    assert (written.shards, written.rows, written.samples, written.failures) == (3, 7, 7, {})
    names = sorted(str(path.relative_to(pool)) for path in pool.rglob("*") if path.is_file())
    shards = [f"shards/0000000{number}{end}" for number in range(3) for end in (".parquet", ".tar", "_stats.json")]
    assert names == ["metadata/pool.parquet", *shards]

    with tarfile.open(pool / "shards" / "00000001.tar") as tar:
        members = {info.name: tar.extractfile(info).read() for info in tar}  # type: ignore[union-attr]
        assert all((info.mode, info.mtime, info.uname) == (0o444, 0, "bigdata") for info in tar)
    keys = ["000000010000", "000000010001", "000000010002"]
    suffixes = ["png", "jpg", "png"]
    expected = [
        f"{key}.{end}" for key, image in zip(keys, suffixes, strict=True) for end in sorted([image, "json", "txt"])
    ]
    assert list(members) == expected

    record = json.loads(members["000000010002.json"])
    source = (images / "sub/3.png").read_bytes()
    assert list(record) == JSON_KEYS
    assert members["000000010002.png"] == source
    assert members["000000010002.txt"] == b"caption of sub/3.png"
    assert record == {
        "uid": uid_of("caption of sub/3.png", "sub/3.png"),
        "caption": "caption of sub/3.png",
        "url": "sub/3.png",
        "key": "000000010002",
        "status": "success",
        "error_message": None,
        "width": 23,
        "height": 30,
        "original_width": 23,
        "original_height": 30,
        "exif": "{}",
        "sha256": sha256(source).hexdigest(),
    }
    assert b'{\n    "uid": ' in members["000000010002.json"]


def test_stats_log_and_metadata(images: Path, captions: str, tmp_path: Path) -> None:
    make(images, captions, tmp_path / "pool", samples_per_shard=5, name="tiny")
    stats = json.loads((tmp_path / "pool/shards/00000001_stats.json").read_text())
    assert [stats[name] for name in ("count", "successes", "failed_to_download", "failed_to_resize")] == [2, 2, 0, 0]
    assert stats["status_dict"] == {"success": 2}
    assert stats["duration"] == stats["end_time"] - stats["start_time"]
    log = log_of(str(tmp_path / "pool"), 1)
    assert [list(row) for row in log] == [JSON_KEYS] * 2
    metadata = read_parquet(f"{tmp_path}/pool/metadata/tiny.parquet")
    assert metadata.column_names == ["uid", "url", "text", "original_width", "original_height", "sha256"]
    assert metadata["uid"].to_pylist() == [
        f"{s.uid[0]:016x}{s.uid[1]:016x}" for s in samples_of(str(tmp_path / "pool"))
    ]
    assert metadata["original_height"].to_pylist() == [30] * 7


def test_webdataset_and_tarfile_read_what_was_written(images: Path, captions: str, tmp_path: Path) -> None:
    make(images, captions, tmp_path / "pool")
    ours = samples_of(str(tmp_path / "pool"))
    theirs = read_with_webdataset(tmp_path / "pool/shards/00000000.tar")
    assert [sample["__key__"] for sample in theirs] == [sample.key for sample in ours]
    assert [sample["txt"].decode() for sample in theirs] == [sample.caption for sample in ours]
    assert [next(sample[end] for end in ("jpg", "png", "webp") if end in sample) for sample in theirs] == [
        sample.image for sample in ours
    ]
    assert [split_uid(json.loads(sample["json"])["uid"]) for sample in theirs] == [sample.uid for sample in ours]


def test_the_bytes_depend_on_the_inputs_only(images: Path, captions: str, tmp_path: Path) -> None:
    for name in ("one", "two"):
        make(images, captions, tmp_path / name, samples_per_shard=4, num_workers=3)
    for shard in ("00000000.tar", "00000001.tar", "00000000.parquet"):
        assert (tmp_path / "one/shards" / shard).read_bytes() == (tmp_path / "two/shards" / shard).read_bytes()


def test_on_s3(images: Path, captions: str, tmp_path: Path, s3_url: str) -> None:
    for path in images.rglob("*.*"):
        storage.publish_bytes(f"{s3_url}/images/{path.relative_to(images)}", path.read_bytes())
    storage.publish_bytes(f"{s3_url}/captions.csv", Path(captions).read_bytes())
    written = make_pool(f"{s3_url}/images", f"{s3_url}/captions.csv", f"{s3_url}/pool", samples_per_shard=4)
    assert (written.shards, written.samples) == (2, 7)
    make(images, captions, tmp_path / "local", samples_per_shard=4)
    for shard in ("00000000.tar", "00000001.tar"):
        local = (tmp_path / "local/shards" / shard).read_bytes()
        assert storage.read_bytes(f"{s3_url}/pool/shards/{shard}") == local
    again = make_pool(f"{s3_url}/images", f"{s3_url}/captions.csv", f"{s3_url}/pool", samples_per_shard=4)
    assert again.shards_skipped == 2


def test_rows_that_fail_are_counted_with_their_reason(images: Path, tmp_path: Path) -> None:
    (images / "text.jpg").write_text("no picture")
    (images / "empty.png").write_bytes(b"")
    (images / "cut.png").write_bytes(picture(1, "PNG", (64, 64))[:-60])
    (images / "moving.gif").write_bytes(picture(1, "GIF"))
    rows = [
        ("0.png", "good", ""),
        ("text.jpg", "x", ""),
        ("empty.png", "x", ""),
        ("cut.png", "x", ""),
        ("moving.gif", "x", ""),
        ("nowhere.png", "x", ""),
        ("", "x", ""),
        ("../images/0.png/../../captions.csv", "x", ""),
        ("sub/1.jpeg", "", ""),
        ("sub/1.jpeg", "  ", ""),
        ("sub/1.jpeg", "caf\udce9", ""),
        ("sub/1.jpeg", "x", "not a uid"),
        ("./sub//1.jpeg", "good", "0123456789ABCDEF" * 2),
    ]
    table = write_csv(
        tmp_path / "c.csv",
        [dict(zip(("file", "caption", "uid"), row, strict=True)) for row in rows],
        errors="surrogateescape",
    )
    written = make(images, table, tmp_path / "pool")
    assert (written.rows, written.samples) == (13, 2)
    assert (written.failed_to_download, written.failed_to_resize) == (7, 4)
    assert written.failures == {
        "image does not decode": 3,
        "not jpg, png or webp": 1,
        "image not found": 3,
        "no caption": 2,
        "caption is not UTF-8": 1,
        "uid is not 32 hex digits": 1,
    }
    examples = written.failure_examples
    assert list(examples) == list(written.failures)
    assert examples["image not found"] == "nowhere.png (image not found)"
    assert examples["not jpg, png or webp"].startswith("moving.gif (not jpg, png or webp: gif")
    assert examples["uid is not 32 hex digits"] == "sub/1.jpeg (uid is not 32 hex digits: 'not a uid')"
    # A rerun, which reads nothing but the logs, names the same.
    assert make(images, table, tmp_path / "pool").failure_examples == examples
    log = log_of(str(tmp_path / "pool"))
    assert [row["status"] for row in log] == (
        ["success"] + ["failed_to_resize"] * 4 + ["failed_to_download"] * 7 + ["success"]
    )
    assert log[4]["error_message"] == "not jpg, png or webp: gif (a largest side re-encodes as jpg)"
    assert [row["key"] for row in log] == [f"{number:012d}" for number in range(13)]
    # A failed row leaves a gap in the keys, none in the rows.
    assert [sample.key for sample in samples_of(str(tmp_path / "pool"))] == ["000000000000", "000000000012"]
    assert log[12]["uid"] == "0123456789abcdef" * 2
    stats = json.loads((tmp_path / "pool/shards/00000000_stats.json").read_text())
    assert stats["count"] == 13
    assert stats["status_dict"] == written.failures | {"success": 2}
    assert read_parquet(f"{tmp_path}/pool/metadata/pool.parquet").num_rows == 2


def test_a_pool_without_a_sample_is_no_success(images: Path, tmp_path: Path) -> None:
    (images / "text.jpg").write_text("no picture")
    table = write_csv(tmp_path / "c.csv", [{"file": "text.jpg", "caption": "x"}, {"file": "0.png", "caption": ""}])
    with pytest.raises(BadInputError, match=r"0 of 2 rows could be stored \(image does not decode: 1, as text\.jpg \("):
        make(images, table, tmp_path / "pool")


def test_an_unreadable_file_is_a_failed_row(images: Path, tmp_path: Path) -> None:
    (images / "gone.png").symlink_to(tmp_path / "nowhere")
    table = write_csv(tmp_path / "c.csv", [{"file": name, "caption": "x"} for name in ("0.png", "gone.png")])
    written = make(images, table, tmp_path / "pool")
    assert (written.samples, written.failed_to_download) == (1, 1)


def test_names_do_not_decide_the_suffix(images: Path, tmp_path: Path) -> None:
    (images / "lies.png").write_bytes(picture(5, "WEBP"))
    table = write_csv(tmp_path / "c.csv", [{"file": "lies.png", "caption": "x"}])
    make(images, table, tmp_path / "pool")
    with tarfile.open(tmp_path / "pool/shards/00000000.tar") as tar:
        assert "000000000000.webp" in tar.getnames()


def test_max_side_shrinks_to_jpeg_on_white(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    Image.new("RGBA", (400, 100), (0, 0, 0, 0)).save(images / "wide.png")
    Image.new("RGB", (20, 40), (200, 0, 0)).save(images / "small.gif")
    table = write_csv(tmp_path / "c.csv", [{"file": name, "caption": "x"} for name in ("wide.png", "small.gif")])
    make(images, table, tmp_path / "pool", max_side=64)
    wide, small = samples_of(str(tmp_path / "pool"))
    image = Image.open(io.BytesIO(wide.image))
    assert (image.format, image.size, image.getpixel((3, 3))) == ("JPEG", (64, 16), (255, 255, 255))
    assert Image.open(io.BytesIO(small.image)).size == (20, 40)
    log = log_of(str(tmp_path / "pool"))
    assert [(row["width"], row["original_width"], row["original_height"]) for row in log] == [
        (64, 400, 100),
        (20, 20, 40),
    ]
    # The digest is of the picture as it came.
    assert log[0]["sha256"] == sha256((images / "wide.png").read_bytes()).hexdigest()


def test_exif_is_kept_as_text(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    exif = Image.Exif()
    exif[274] = 6
    Image.new("RGB", (8, 8)).save(images / "turned.jpg", exif=exif)
    make(images, write_csv(tmp_path / "c.csv", [{"file": "turned.jpg", "caption": "x"}]), tmp_path / "pool")
    assert json.loads(log_of(str(tmp_path / "pool"))[0]["exif"]) == {"Image Orientation": "6"}


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_every_kind_of_table_and_renamed_columns(suffix: str, images: Path, tmp_path: Path) -> None:
    rows = [
        {"path": "0.png", "text": 'a "quoted", caption\nof two lines', "link": "http://a/0", "id": "a" * 32},
        {"path": "sub/1.jpeg", "text": "日本", "link": "http://a/1", "id": "b" * 32},
    ]
    table = tmp_path / f"captions.{suffix}"
    if suffix == "csv":
        write_csv(table, rows, encoding="utf-8-sig")
    elif suffix == "jsonl":
        table.write_text("\n\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    else:
        pq.write_table(pa.Table.from_pylist(rows), table)
    columns = CaptionColumns(file="path", caption="text", url="link", uid="id")
    make(images, str(table), tmp_path / "pool", columns=columns)
    found = samples_of(str(tmp_path / "pool"))
    assert [sample.caption for sample in found] == [row["text"] for row in rows]
    assert [sample.uid for sample in found] == [split_uid(row["id"]) for row in rows]
    assert [row["url"] for row in log_of(str(tmp_path / "pool"))] == ["http://a/0", "http://a/1"]


@pytest.mark.parametrize(
    ("name", "given", "between"), [("c.csv", ";", ";"), ("c.csv", r"\t", "\t"), ("c.tsv", None, "\t")]
)
def test_other_delimiters(name: str, given: str | None, between: str, images: Path, tmp_path: Path) -> None:
    caption = "a dog, asleep"
    (tmp_path / name).write_text(f"file{between}caption\n0.png{between}{caption}\n")
    make(images, str(tmp_path / name), tmp_path / "pool", delimiter=given)
    assert [sample.caption for sample in samples_of(str(tmp_path / "pool"))] == [caption]


def test_wrong_delimiters(images: Path, captions: str, tmp_path: Path) -> None:
    for delimiter in (", ", '"', "\n"):
        with pytest.raises(ConfigError, match=r"a delimiter is one character, or \\t for a tab"):
            make(images, captions, tmp_path / "pool", delimiter=delimiter)
    with pytest.raises(ConfigError, match=r"a delimiter is for \.csv and \.tsv files"):
        make(images, "c.jsonl", tmp_path / "pool", delimiter=";")


def test_a_caption_of_a_million_characters(images: Path, tmp_path: Path) -> None:
    table = write_csv(tmp_path / "c.csv", [{"file": "0.png", "caption": "long " * 200_000}])
    make(images, table, tmp_path / "pool")
    assert len(samples_of(str(tmp_path / "pool"))[0].caption) == 1_000_000


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("c.csv", "image,text\n0.png,x\n", r"c\.csv has no column 'file' \(it has: image, text\); .*--file-column"),
        ("c.csv", "file,text\n0.png,x\n", "no column 'caption'"),
        ("c.csv", 'file,caption\n0.png,x\n1.png,"y\n2.png,z\n', r"c\.csv, line 4: not csv \(unexpected end of data\)"),
        ("c.csv", 'file,caption\n0.png,"no" dogs\n', r"c\.csv, line 2: not csv"),
        ("c.csv", 'file,caption\n0.png,x\n1.png,"y\n2.png,z\n', r"line 4: .*; the row begins in line 3"),
        ("c.csv", "file,caption\n0.png,a cat\n1.png,a dog, asleep\n", r"line 3: 3 fields, the header has 2: a caption"),
        ("c.csv", "file,caption\n\n0.png,a cat,\n", r"line 3: 3 fields, the header has 2"),
        ("c.tsv", "file\tcaption\n0.png\ta\tb\n", r"c\.tsv, line 2: 3 fields, the header has 2: a caption with '\\t'"),
        # The quote for inches closes what another one has opened a table before.
        (
            "c.csv",
            'file,caption\n0.png,x\n1.png,"the "\n2.png,"a dog\n' + "3.png,a cat\n" * 1899 + '4.png,5"\n',
            r"line 4: a quote is opened there and closed in line 1904, and line 5 between them begins as .* '3\.png'",
        ),
        (
            "c.csv",
            "file;caption\n0.png;x\n",
            r"no column 'file' \(it has: file;caption\); .* or its --delimiter \(';'\)",
        ),
        ("c.csv", "file\tcaption\n0.png\tx\n", r"or its --delimiter \('\\t'\)"),
        ("c.csv", "file,caption\n", "has no rows"),
        ("c.csv", "", r"no column 'file' \(it has: none\)"),
        ("c.jsonl", "", "has no rows"),
        ("c.jsonl", '{"file": "0.png"}\n', "no column 'caption'"),
        ("c.jsonl", '{"file": "0.png", "caption": "x"}\n{"file', "line 2: not valid JSON"),
        ("c.jsonl", "[1]\n", "line 1: a JSON object is needed, got list"),
        ("c.parquet", "nonsense nonsense", "not a parquet file"),
        ("c.txt", "0.png x\n", r"must be a \.csv, \.tsv, \.jsonl or \.parquet file, got .*c\.txt"),
        ("c.csv", "file,caption\nnowhere.png,x\n", r"none of the first 1 files .*it names 'nowhere\.png'"),
    ],
)
def test_a_table_that_will_not_do_is_named(name: str, content: str, message: str, images: Path, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ConfigError, match=message):
        make(images, str(tmp_path / name), tmp_path / "pool")
    assert not (tmp_path / "pool" / "shards").exists()


def test_an_empty_folder_and_bad_numbers(images: Path, captions: str, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(ConfigError, match=r"no files in .*none"):
        make(tmp_path / "none", captions, tmp_path / "pool")
    for name in ("samples_per_shard", "max_side", "num_workers"):
        with pytest.raises(ConfigError, match=f"{name.replace('_', '-')} must be at least 1, got 0"):
            make(images, captions, tmp_path / "pool", **{name: 0})


def test_a_rerun_leaves_what_is_finished(images: Path, captions: str, tmp_path: Path) -> None:
    first = make(images, captions, tmp_path / "pool", samples_per_shard=3)
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "pool").rglob("*") if path.is_file()}
    again = make(images, captions, tmp_path / "pool", samples_per_shard=3)
    assert (first.shards_skipped, again.shards_skipped) == (0, 3)
    assert (again.samples, again.failures) == (first.samples, first.failures)
    assert files == {path: path.stat().st_mtime_ns for path in (tmp_path / "pool").rglob("*") if path.is_file()}


def test_an_interrupted_pool_goes_on_to_the_same_bytes(images: Path, captions: str, tmp_path: Path) -> None:
    make(images, captions, tmp_path / "whole", samples_per_shard=3)
    make(images, captions, tmp_path / "pool", samples_per_shard=3)
    # Killed after the tar of the second shard: what comes after it was never written.
    for name in ("shards/00000001_stats.json", "shards/00000001.parquet", "metadata/pool.parquet"):
        (tmp_path / "pool" / name).unlink()
    for path in (tmp_path / "pool/shards").glob("00000002*"):
        path.unlink()
    (tmp_path / "pool/shards/00000001.tar").write_bytes(b"another run's")
    assert make(images, captions, tmp_path / "pool", samples_per_shard=3).shards_skipped == 1
    for name in ("shards/00000001.tar", "shards/00000002.tar", "metadata/pool.parquet"):
        assert (tmp_path / "pool" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_other_inputs_are_refused_unless_told_to_overwrite(images: Path, captions: str, tmp_path: Path) -> None:
    make(images, captions, tmp_path / "pool", samples_per_shard=2)
    (images / "0.png").write_bytes(picture(99, "PNG"))
    for changed in ({"samples_per_shard": 2}, {"samples_per_shard": 3}, {"samples_per_shard": 2, "max_side": 8}):
        with pytest.raises(ConfigError, match=r"00000000_stats\.json belongs to .*--output-dir, or add --overwrite"):
            make(images, captions, tmp_path / "pool", **changed)
    make(images, captions, tmp_path / "pool", samples_per_shard=7, overwrite=True)
    assert [shard.name for shard in find_shards(str(tmp_path / "pool"))] == ["shards/00000000.tar"]
    assert len(list((tmp_path / "pool/shards").iterdir())) == 3


def test_shards_of_a_longer_pool_are_refused(images: Path, captions: str, tmp_path: Path) -> None:
    make(images, captions, tmp_path / "pool", samples_per_shard=3)
    shorter = tmp_path / "shorter.csv"
    shorter.write_text("".join(Path(captions).read_text().splitlines(keepends=True)[:4]))
    with pytest.raises(ConfigError, match=r"holds 00000001\.parquet, but these inputs end with shard 00000000"):
        make(images, str(shorter), tmp_path / "pool", samples_per_shard=3)


def test_write_pool_holds_one_shard_at_a_time(tmp_path: Path) -> None:
    taken = 0

    def samples() -> Iterator[PoolSample]:
        nonlocal taken
        for number in range(10):
            shards = len(list((tmp_path / "pool").glob("shards/*_stats.json")))
            assert number // 4 == shards
            taken += 1
            yield PoolSample(
                image=picture(number), suffix="png", caption=f"c {number}", url=f"u{number}", extra={"tier": number % 3}
            )

    written = write_pool(str(tmp_path / "pool"), samples(), 4)
    assert (taken, written.shards, written.samples) == (10, 3, 10)
    found = samples_of(str(tmp_path / "pool"))
    assert [(sample.status, sample.image) for sample in found] == [(OK, picture(number)) for number in range(10)]
    with tarfile.open(tmp_path / "pool/shards/00000001.tar") as tar:
        file = tar.extractfile("000000010001.json")
        assert file is not None
        record = json.load(file)
    assert list(record) == [*JSON_KEYS, "tier"]
    assert (record["tier"], record["uid"]) == (2, uid_of("c 5", "u5"))


def test_write_pool_counts_bad_samples_and_goes_on(tmp_path: Path) -> None:
    good = PoolSample(image=picture(), suffix="PNG", caption="c", url="u", uid="c" * 32)
    bad = PoolSample(image=b"no picture", suffix="png", caption="c", url="u")
    written = write_pool(str(tmp_path / "pool"), [good, bad, good], 2)
    assert (written.samples, written.failed_to_resize) == (2, 1)
    assert write_pool(str(tmp_path / "pool"), iter([good, bad, good]), 2).shards_skipped == 2
    with pytest.raises(ConfigError, match="other inputs"):
        write_pool(str(tmp_path / "pool"), [good, good, good], 2)
    with pytest.raises(ConfigError, match="no samples"):
        write_pool(str(tmp_path / "none"), [])
    with pytest.raises(ConfigError, match="samples-per-shard must be at least 1, got 0"):
        write_pool(str(tmp_path / "none"), [good], 0)


def test_a_shard_may_hold_more_than_ten_thousand(tmp_path: Path) -> None:
    write_pool(str(tmp_path / "pool"), [PoolSample(image=picture(), suffix="png", caption="c", url="u")], 1_000_000)
    assert samples_of(str(tmp_path / "pool"))[0].key == "0" * 14


def test_a_file_that_can_not_be_read_now_stops_the_making(images: Path, tmp_path: Path) -> None:
    """A row that failed stays so; this one may well be read by the same command later."""
    (images / "1.png").unlink(missing_ok=True)
    (images / "1.png").symlink_to("/proc/self/mem")  # opens, and gives an I/O error
    table = write_csv(tmp_path / "c.csv", [{"file": name, "caption": "x"} for name in ("0.png", "1.png")])
    with pytest.raises(StorageError, match=r"1\.png: .*Input/output error"):
        make(images, table, tmp_path / "pool")
    assert list((tmp_path / "pool").rglob("*.tar")) == []
    (images / "1.png").unlink()
    (images / "1.png").write_bytes(picture(1))
    assert make(images, table, tmp_path / "pool").samples == 2
