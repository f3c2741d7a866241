"""Evaluation sets as they lie on disk and on S3, and what is wrong with bad ones."""

from hashlib import sha256
from pathlib import Path

import pytest

from datascaler import storage
from datascaler.errors import BadInputError, ConfigError
from datascaler.evaluate.evalset import open_evalset
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
