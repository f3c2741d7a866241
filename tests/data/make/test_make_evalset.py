"""Evaluation sets in DataComp's webdataset layout."""

import io
import json
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datascaler import storage
from datascaler.data.make.make_evalset import make_classification_set, make_retrieval_set
from datascaler.data.make.write_evalset import write_classification_set, write_retrieval_set
from datascaler.errors import ConfigError
from tests.data.tars import picture, read_with_webdataset


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    """Three of hot_dog, two of apple; and files that are no images of a class."""
    folder = tmp_path / "classes"
    for number in range(3):
        (folder / "hot_dog" / "deep").mkdir(parents=True, exist_ok=True)
        (folder / "hot_dog" / "deep" / f"{number}.png").write_bytes(picture(number))
    (folder / "apple").mkdir()
    (folder / "apple" / "a.JPG").write_bytes(picture(7, "JPEG"))
    (folder / "apple" / "b.webp").write_bytes(picture(8, "WEBP"))
    (folder / "apple" / "notes.txt").write_text("none")
    (folder / "loose.png").write_bytes(picture(9))
    return folder


def members(tar: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        return {info.name: archive.extractfile(info).read() for info in archive}  # type: ignore[union-attr]


def test_classification_from_folders(classes: Path, tmp_path: Path) -> None:
    target = tmp_path / "set"
    written = make_classification_set(str(classes), str(target), images_per_shard=2)
    assert (written.shards, written.images, written.classes, written.failures) == (3, 5, 2, {})
    assert (target / "classnames.txt").read_text() == "apple\nhot dog\n"
    assert (target / "zeroshot_classification_templates.txt").read_text() == "a photo of a {c}.\n"
    assert (target / "test/nshards.txt").read_text().strip() == "3"
    assert not (target / "dataset_type.txt").exists()
    assert sorted(path.name for path in (target / "test").iterdir()) == ["0.tar", "1.tar", "2.tar", "nshards.txt"]
    assert members((target / "test/0.tar").read_bytes()) == {
        "s0000000.cls": b"0",
        "s0000000.jpg": picture(7, "JPEG"),
        "s0000001.cls": b"0",
        "s0000001.webp": picture(8, "WEBP"),
    }
    assert list(members((target / "test/2.tar").read_bytes())) == ["s0000004.cls", "s0000004.png"]
    samples = read_with_webdataset(*(target / f"test/{shard}.tar" for shard in range(3)))
    assert [sample["cls"] for sample in samples] == [b"0", b"0", b"1", b"1", b"1"]


def test_class_names_and_templates_of_ones_own(classes: Path, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("a fruit \n a sausage\n")
    templates = ["a {c}.", "two\nlines of {c}"]
    make_classification_set(
        str(classes), str(tmp_path / "set"), classnames=str(tmp_path / "names.txt"), templates=templates
    )
    assert (tmp_path / "set/classnames.txt").read_text() == "a fruit\na sausage\n"
    assert (tmp_path / "set/zeroshot_classification_templates.txt").read_text() == "a {c}.\ntwo lines of {c}\n"
    for text, found in (("only one\n", 1), ("a fruit\n\na sausage\n", 3)):
        (tmp_path / "names.txt").write_text(text)
        with pytest.raises(ConfigError, match=f"has {found} class names for 2 folders"):
            make_classification_set(str(classes), str(tmp_path / "other"), classnames=str(tmp_path / "names.txt"))
    with pytest.raises(ConfigError, match=r"needs the placeholder \{c\}"):
        make_classification_set(str(classes), str(tmp_path / "other"), templates=["a photo"])
    with pytest.raises(ConfigError, match="at least one class with a name and one template"):
        make_classification_set(str(classes), str(tmp_path / "other"), templates=[])


def test_images_that_do_not_decode_are_left_out_and_counted(classes: Path, tmp_path: Path) -> None:
    (classes / "apple" / "c.png").write_bytes(b"no picture")
    (classes / "apple" / "d.gif").write_bytes(picture(1, "GIF"))
    written = make_classification_set(str(classes), str(tmp_path / "set"))
    assert written.images == 5
    assert written.failures == {"not jpg, png or webp": 2}
    assert written.failure_examples == {"not jpg, png or webp": "apple/c.png (not jpg, png or webp: unknown format)"}
    cut = picture(1, size=(64, 64))[:-60]
    written = write_classification_set(str(tmp_path / "cut"), [(cut, "png", 0), (picture(), "png", 0)], ["a"])
    assert (written.images, written.failures) == (1, {"image does not decode": 1})
    with pytest.raises(
        ConfigError, match=r"no images to write to .*: left out are 1 like image 0 \(image does not dec"
    ):
        write_classification_set(str(tmp_path / "none"), [(cut, "png", 0)], ["a"])


def test_folders_without_classes(classes: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="one folder a class"):
        make_classification_set(str(classes / "hot_dog" / "deep"), str(tmp_path / "set"))
    with pytest.raises(ConfigError, match="no files in"):
        make_classification_set(str(tmp_path / "nowhere"), str(tmp_path / "set"))


def test_an_old_set_is_replaced_only_when_told(classes: Path, tmp_path: Path) -> None:
    target = str(tmp_path / "set")
    make_classification_set(str(classes), target, images_per_shard=1)
    with pytest.raises(ConfigError, match="is not empty; choose a new --output-dir, or add --overwrite"):
        make_classification_set(str(classes), target)
    write_retrieval_set(target, [(picture(), "png", ["a"])], overwrite=True)
    names = sorted(str(path.relative_to(target)) for path in (tmp_path / "set").rglob("*") if path.is_file())
    assert names == ["dataset_type.txt", "tasklist.yml", "test/0.tar", "test/nshards.txt"]


def test_the_writer_checks_labels_and_sizes(tmp_path: Path) -> None:
    for label in (-1, 2):
        with pytest.raises(ConfigError, match=f"labels go from 0 to 1, .* got {label}"):
            write_classification_set(f"{tmp_path}/set{label}", [(picture(), "png", label)], ["a", "b"])
        assert not storage.exists(f"{tmp_path}/set{label}/test/nshards.txt")
    with pytest.raises(ConfigError, match="no images"):
        write_classification_set(f"{tmp_path}/none", [], ["a"])
    with pytest.raises(ConfigError, match="images-per-shard must be at least 1, got 0"):
        write_classification_set(f"{tmp_path}/none", [], ["a"], images_per_shard=0)
    with pytest.raises(ConfigError, match="at least one class with a name"):
        write_classification_set(f"{tmp_path}/none", [], [" "])
    # A blank name is a class, so that those after it keep their labels.
    write_classification_set(f"{tmp_path}/blank", [(picture(), "png", 2)], ["a", " ", "c"])
    assert storage.read_text(f"{tmp_path}/blank/classnames.txt") == "a\n\nc\n"


def test_retrieval_from_images_and_captions(classes: Path, tmp_path: Path, s3_url: str) -> None:
    table = tmp_path / "captions.csv"
    table.write_text('file,caption\nloose.png,first\napple/b.webp,other\nloose.png,"second\nof two lines"\n')
    target = f"{s3_url}/set"
    written = make_retrieval_set(str(classes), str(table), target)
    assert (written.images, written.captions, written.classes) == (2, 3, 0)
    assert storage.read_text(f"{target}/dataset_type.txt").strip() == "retrieval"
    assert members(storage.read_bytes(f"{target}/test/0.tar")) == {
        "s0000000.png": picture(9),
        "s0000000.txt": b"first\nsecond of two lines",
        "s0000001.txt": b"other",
        "s0000001.webp": picture(8, "WEBP"),
    }


@pytest.mark.parametrize(("row", "message"), [("nowhere.png,x", "not found"), ("loose.png,", "no caption")])
def test_a_query_without_its_answer_is_refused(row: str, message: str, classes: Path, tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text(f"file,caption\n{row}\n")
    with pytest.raises(ConfigError, match=message):
        make_retrieval_set(str(classes), str(tmp_path / "c.csv"), str(tmp_path / "set"))


def test_an_image_without_captions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least one caption"):
        write_retrieval_set(str(tmp_path / "set"), [(picture(), "png", [])])


@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "csv"])
def test_a_list_of_captions_is_several_captions(suffix: str, classes: Path, tmp_path: Path) -> None:
    rows = [{"file": "loose.png", "caption": ["a cat", 'the "cat", seen']}, {"file": "apple/b.webp", "caption": ["x"]}]
    table = tmp_path / f"c.{suffix}"
    if suffix == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), table)
    elif suffix == "jsonl":
        table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        quoted = [json.dumps(row["caption"]).replace('"', '""') for row in rows]
        table.write_text(
            "file,caption\n" + "".join(f'{row["file"]},"{q}"\n' for row, q in zip(rows, quoted, strict=True))
        )
    written = make_retrieval_set(str(classes), str(table), str(tmp_path / "set"))
    assert (written.images, written.captions) == (2, 3)
    samples = read_with_webdataset(tmp_path / "set/test/0.tar")
    assert [sample["txt"].decode().splitlines() for sample in samples] == [row["caption"] for row in rows]


@pytest.mark.parametrize("caption", [[["nested"]], {"en": "a"}, [None], True, float("inf")])
def test_what_can_be_no_caption_is_refused(caption: object, classes: Path, tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_text(json.dumps({"file": "loose.png", "caption": caption}) + "\n")
    with pytest.raises(ConfigError, match=r"column 'caption' must hold|no caption"):
        make_retrieval_set(str(classes), str(tmp_path / "c.jsonl"), str(tmp_path / "set"))


def test_numbered_folders_are_classes_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    """What programs leave is no class and is named; which folder became which class is kept."""
    for name in ("10", "2", "1", ".ipynb_checkpoints", "__MACOSX/1", "1/.cache"):
        (tmp_path / "in" / name).mkdir(parents=True)
        (tmp_path / "in" / name / "0.png").write_bytes(picture(len(name)))
    (tmp_path / "in/10/1.png").write_bytes(picture(5))
    written = make_classification_set(str(tmp_path / "in"), str(tmp_path / "set"))
    assert [(each["label"], each["folder"], each["images"]) for each in written.class_folders] == [
        (0, "1", 1),
        (1, "2", 1),
        (2, "10", 2),
    ]
    assert written.left_out == {".ipynb_checkpoints": 1, "1/.cache": 1, "__MACOSX": 1}
    kept = (tmp_path / "set/class_folders.csv").read_text()
    assert kept == "label,folder,name,images\n0,1,1,1\n1,2,2,1\n2,10,10,2\n"


def test_folders_of_splits_are_no_classes(tmp_path: Path) -> None:
    for name in ("train/cat", "train/dog", "val/cat"):
        (tmp_path / "in" / name).mkdir(parents=True)
        (tmp_path / "in" / name / "0.png").write_bytes(picture())
    with pytest.raises(ConfigError, match=r"holds splits \(train, val\), not classes: give one of them, as .*in/val"):
        make_classification_set(str(tmp_path / "in"), str(tmp_path / "set"))
    assert make_classification_set(str(tmp_path / "in/train"), str(tmp_path / "set")).classes == 2
    # A class may be called train.
    (tmp_path / "in/train/0.png").write_bytes(picture())
    (tmp_path / "in/val").rename(tmp_path / "in/plane")
    assert make_classification_set(str(tmp_path / "in"), str(tmp_path / "other")).classes == 2


def folders_of(folder: Path, *names: str) -> str:
    """A folder with an image in each of these."""
    for number, name in enumerate(names):
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / f"{number}.png").write_bytes(picture(number))
    return str(folder)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("train/cat", "val/cat", "docs"), r"holds splits \(train, val\), not classes"),
        (("train/cat", "val/cat", "val"), r"holds splits \(train, val\), .* as .*in/train"),
        (("train/cat", "train/dog", "test"), r"holds splits \(test, train\), .* as .*in/train"),
        (("photos/cat", "photos/dog"), r"holds one folder, with others in it \(cat, dog\).*give .*in/photos"),
        (("hot_dog", "hot dog", "cat"), "'hot dog' and 'hot_dog' have one name to a model, 'hot dog': rename one"),
        (("Cat", "cat"), "'Cat' and 'cat' have one name to a model"),
        (("caf\u00e9", "cafe\u0301"), "have one name to a model"),
        (("_", "cat"), "the folder '_' names no class: rename it"),
    ],
)
def test_folders_that_can_not_be_the_classes(names: tuple[str, ...], message: str, tmp_path: Path) -> None:
    images = folders_of(tmp_path / "in", *names)
    with pytest.raises(ConfigError, match=message):
        make_classification_set(images, str(tmp_path / "set"))


def test_a_folder_without_images_is_named(tmp_path: Path) -> None:
    images = folders_of(tmp_path / "in", "cat", "dog")
    (tmp_path / "in/bird").mkdir()
    (tmp_path / "in/fish").mkdir()
    (tmp_path / "in/fish/0.heic").write_bytes(b"x")
    written = make_classification_set(images, str(tmp_path / "set"))
    assert (written.classes, written.left_out) == (2, {"bird": 0, "fish": 0})


def test_classnames_that_are_json_or_equal(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    images, names = folders_of(tmp_path / "in", "0", "1"), tmp_path / "names.txt"
    names.write_text('{"0": "cat",\n"1": "dog"}')
    with pytest.raises(ConfigError, match="is JSON: write a class name a line"):
        make_classification_set(images, str(tmp_path / "set"), classnames=str(names))
    names.write_text("crane\nCrane\n")  # as in ImageNet, where one is a bird
    make_classification_set(images, str(tmp_path / "set"), classnames=str(names))
    assert "lines 1 and 2 have one name to a model, 'crane'" in caplog.text


def test_one_class_is_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_classification_set(folders_of(tmp_path / "in", "images"), str(tmp_path / "set"))
    assert "holds one class, images: every model is right on such a set" in caplog.text


def test_overwriting_removes_nothing_that_is_not_a_sets(tmp_path: Path) -> None:
    images = folders_of(tmp_path / "in", "test", "cat")
    make_classification_set(images, images, overwrite=True)
    assert (tmp_path / "in/test/0.png").exists()


@pytest.mark.parametrize(
    ("caption", "found"),
    [("['a cat', \"it's\"]", ["a cat", "it's"]), ("[a dog]", ["[a dog]"]), ("[3]", ["[3]"]), ('["x", 3]', ["x", "3"])],
)
def test_a_list_as_python_writes_it_is_several_captions(
    caption: str, found: list[str], classes: Path, tmp_path: Path
) -> None:
    quoted = caption.replace('"', '""')
    (tmp_path / "c.csv").write_text(f'file,caption\nloose.png,"{quoted}"\n')
    make_retrieval_set(str(classes), str(tmp_path / "c.csv"), str(tmp_path / "set"))
    (sample,) = read_with_webdataset(tmp_path / "set/test/0.tar")
    assert sample["txt"].decode().splitlines() == found


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (b"file,caption\nloose.png,['a cat' 'a dog']\n", "holds a list that can't be read, .*write it as JSON"),
        (b"file,caption\nloose.png,\"['a cat'\n 'a dog']\"\n", "holds a list that can't be read"),
        (b"file,caption\nloose.png,[]\n", "no caption"),
        (b"file,caption,caption\nloose.png,x,y\n", "has two columns 'caption': rename one"),
        ("file\tcaption\nloose.png\tx\n".encode("utf-16"), "is UTF-16, .*save it as UTF-8"),
    ],
)
def test_tables_that_can_not_be_meant(table: bytes, message: str, classes: Path, tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_bytes(table)
    with pytest.raises(ConfigError, match=message):
        make_retrieval_set(str(classes), str(tmp_path / "c.csv"), str(tmp_path / "set"))
