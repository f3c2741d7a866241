"""Evaluation sets as they lie on disk and on S3, and what is wrong with bad ones."""

import io
import tarfile
from hashlib import sha256
from pathlib import Path

import pytest

from datascaler import storage
from datascaler.errors import BadInputError, ConfigError
from datascaler.evaluate.evalset import EvalSet, open_evalset
from tests.data.tars import read_with_webdataset
from tests.evaluate.sets import CLASSES, TEMPLATES, captioned, labelled, picture, write_set


def test_classification_set_on_s3_and_locally(tmp_path: Path, s3_url: str) -> None:
    samples = labelled(7)
    opened = []
    for folder in (str(tmp_path), s3_url):
        write_set(folder, samples, shards=3)
        opened.append(open_evalset(folder))
        assert opened[-1].classnames == CLASSES
        assert opened[-1].templates == TEMPLATES
        found = list(opened[-1].samples())
        assert [sample.key for sample in found] == [f"s{number:07d}" for number in range(7)]
        assert [str(sample.label).encode() for sample in found] == [sample["cls"] for sample in samples]
        assert [sample.image for sample in found] == [next(iter(sample.values())) for sample in samples]
    assert opened[0].identity().digest == opened[1].identity().digest


def test_tars_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    write_set(str(tmp_path), labelled(11), shards=11)
    assert [sample.key for sample in open_evalset(str(tmp_path)).samples()] == [f"s{n:07d}" for n in range(11)]


def test_retrieval_set_has_a_caption_a_line(tmp_path: Path) -> None:
    write_set(
        str(tmp_path),
        [{"webp": picture(0, "webp"), "txt": "Ein Öl\n\n two \r\n".encode()}],
        shards=1,
        dataset_type="retrieval",
    )
    evalset = open_evalset(str(tmp_path))
    assert (evalset.kind, evalset.classnames) == ("retrieval", ())
    assert [sample.captions for sample in evalset.samples()] == [("Ein Öl", "", "two")]


def test_digest_follows_prompts_and_tars(tmp_path: Path) -> None:
    digests = []
    for number, (count, templates) in enumerate([(6, TEMPLATES), (6, TEMPLATES[:1]), (9, TEMPLATES)]):
        folder = str(tmp_path / str(number))
        write_set(folder, labelled(count), templates=templates)
        digests.append(open_evalset(folder).identity().digest)
    assert len(set(digests)) == 3


@pytest.mark.parametrize("padding", [b"", b"after the end " * 200_000], ids=["plain", "bytes after the end"])
def test_what_is_read_is_hashed_to_the_last_byte(tmp_path: Path, padding: bytes) -> None:
    write_set(str(tmp_path), labelled(5), shards=2)
    path = tmp_path / "test/1.tar"
    path.write_bytes(path.read_bytes() + padding)
    opened = open_evalset(str(tmp_path))
    assert len(list(opened.samples())) == 5
    names = ("test/0.tar", "test/1.tar")
    expected = {name: sha256((tmp_path / name).read_bytes()).hexdigest() for name in names}
    assert opened.hashes == {str(tmp_path / name): expected[name] for name in names}
    for identity in (opened.identity(), open_evalset(str(tmp_path)).identity()):
        assert {name: identity.contents[name] for name in names} == expected


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("classnames.txt", None, "classnames.txt: not found"),
        ("classnames.txt", b"\n \n", "classnames.txt: holds no entries"),
        ("classnames.txt", b"\xff\n", "classnames.txt is not UTF-8"),
        ("zeroshot_classification_templates.txt", None, "templates.txt: not found"),
        ("zeroshot_classification_templates.txt", b"a {c}\na photo\n", "template 'a photo' has no {c}"),
        ("dataset_type.txt", b"multilabel", "must be classification, retrieval or association, got 'multilabel'"),
        ("test/nshards.txt", None, "test/nshards.txt: not found"),
        ("test/nshards.txt", b"two", "must hold the number of tars, got 'two'"),
        ("test/nshards.txt", b"1000000000", "must hold the number of tars, got '1000000000'"),
        ("test/nshards.txt", b"999999999", "announces 999999999 tars and"),
        ("test/nshards.txt", b"9" * 5000, "must hold the number of tars, got '9999999999"),
        ("test/nshards.txt", b"0", "must hold the number of tars, got '0'"),
        ("test/1.tar", None, "test/1.tar: not found"),
    ],
)
def test_a_missing_or_wrong_file_is_named(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    write_set(str(tmp_path), labelled(4))
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        open_evalset(str(tmp_path))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ({"png": b"", "cls": b"6"}, "sample s0000000 has label 6, but classnames.txt has 6 classes"),
        ({"png": b"", "cls": b"-1"}, "sample s0000000 needs a .cls member with an integer, got b'-1'"),
        ({"png": b"", "cls": b"cat"}, "sample s0000000 needs a .cls member with an integer, got b'cat'"),
        ({"png": b""}, "sample s0000000 needs a .cls member with an integer, got None"),
    ],
)
def test_a_wrong_label_is_named(tmp_path: Path, sample: dict[str, bytes], message: str) -> None:
    write_set(str(tmp_path), [sample], shards=1)
    with pytest.raises(ConfigError) as caught:
        list(open_evalset(str(tmp_path)).samples())
    assert message in str(caught.value)
    assert "test/0.tar" in str(caught.value)


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ({"png": b"", "txt": b" \n"}, "sample s0000000 needs a .txt member"),
        ({"png": b""}, "sample s0000000 needs a .txt member"),
        ({"png": b"", "txt": b"\xff"}, "test/0.tar: the .txt of sample s0000000 is not UTF-8"),
    ],
)
def test_wrong_captions_are_named(tmp_path: Path, sample: dict[str, bytes], message: str) -> None:
    write_set(str(tmp_path), [sample], shards=1, dataset_type="retrieval")
    with pytest.raises(ConfigError, match=message):
        list(open_evalset(str(tmp_path)).samples())


def test_a_cut_tar_is_bad_input(tmp_path: Path) -> None:
    write_set(str(tmp_path), captioned(4), shards=1, dataset_type="retrieval")
    url = str(tmp_path / "test/0.tar")
    storage.publish_bytes(url, storage.read_bytes(url)[:3000])
    with pytest.raises(BadInputError, match=r"test/0\.tar: truncated member at byte .*download it again"):
        list(open_evalset(str(tmp_path)).samples())


def tar_of_members(members: list[tuple[str, bytes]], mode: str = "w") -> bytes:
    """A tar of members with these very names, in this order; a name that is not ASCII is Latin-1."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode, format=tarfile.GNU_FORMAT, encoding="latin-1") as tar:  # type: ignore[call-overload]
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def with_tar(folder: Path, content: bytes, dataset_type: str | None = None) -> EvalSet:
    write_set(str(folder), labelled(1), shards=1, dataset_type=dataset_type)
    (folder / "test/0.tar").write_bytes(content)
    return open_evalset(str(folder))


def test_members_are_read_as_webdataset_and_clip_benchmark_read_them(tmp_path: Path) -> None:
    """Files of macOS, a README, notes, folders; suffixes of either case; and which of several images counts."""
    members = [
        ("README", b"x"),
        ("test/LICENSE", b"x"),
        ("__notes__/0.png", b"x"),
        ("__index__", b"x"),
        ("._a.png", b"\0\5\x16\7"),
        ("a.jpg", b"jpg"),
        ("a.WEBP", b"webp"),
        ("a.png", b"png"),
        ("a.cls", b"1"),
        ("d/b.JPEG", b"jpeg"),
        ("d/b.Cls", b" 2\n"),
        ("caf\xe9.jpg", b"jpg"),
        ("caf\xe9.seg.png", b"no picture of the sample"),
        ("caf\xe9.cls", b"03"),
    ]
    found = with_tar(tmp_path, tar_of_members(members)).samples()
    oracle = read_with_webdataset(tmp_path / "test/0.tar")
    for sample, theirs in zip(found, oracle, strict=True):
        assert sample.image == next(theirs[suffix] for suffix in ("webp", "png", "jpg", "jpeg") if suffix in theirs)
        assert sample.label == int(theirs["cls"])
        assert sample.key == theirs["__key__"].encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        sample.key.encode()


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_compressed_tars_are_read_and_named_by_their_bytes(mode: str, tmp_path: Path) -> None:
    members = [(f"{number}.{suffix}", content) for number in range(3) for suffix, content in labelled(1)[0].items()]
    packed = tar_of_members(members, mode)
    evalset = with_tar(tmp_path, packed)
    assert [sample.key for sample in evalset.samples()] == ["0", "1", "2"]
    assert list(evalset.hashes.values()) == [sha256(packed).hexdigest()]
    with pytest.raises(BadInputError, match=r"0\.tar: .*download it again"):
        list(with_tar(tmp_path, packed[:-40]).samples())


@pytest.mark.parametrize(
    ("members", "dataset_type", "message"),
    [
        ([], None, "holds no sample; download it again"),
        ([("README", b"x")], None, "holds no sample; download it again"),
        ([("a.png", b""), ("a.cls", b"1"), ("a.png", b""), ("a.cls", b"1")], None, "sample a comes twice: pack the"),
        (
            [("a.png", b""), ("a.txt", b"x"), ("b.png", b""), ("b.txt", b"y"), ("a.png", b""), ("a.txt", b"z")],
            "retrieval",
            "sample a comes twice: give an image once, with a caption a line",
        ),
    ],
)
def test_a_tar_without_samples_or_with_one_twice_is_refused(
    members: list[tuple[str, bytes]], dataset_type: str | None, message: str, tmp_path: Path
) -> None:
    with pytest.raises(BadInputError, match=rf"test/0\.tar: {message}"):
        list(with_tar(tmp_path, tar_of_members(members), dataset_type).samples())


def test_a_tar_of_no_bytes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"test/0\.tar: holds no sample; download it again"):
        list(with_tar(tmp_path, b"").samples())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\3\4" + b"0" * 900, "a zip file in place of a tar: unpack it, and pack it as a tar"),
        (b"<html>" + b" " * 900, "a web page in place of a tar: download it again"),
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            "a pointer of Git LFS in place of a tar: fetch it with git lfs",
        ),
    ],
)
def test_another_file_in_place_of_a_tar_has_one_remedy(content: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=rf"test/0\.tar: {message}") as caught:
        list(with_tar(tmp_path, content).samples())
    assert "at byte" not in str(caught.value)
    assert str(caught.value).count("download it again") <= 1
