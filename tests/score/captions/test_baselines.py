"""DataComp's named baselines against its rules applied row by row."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from datascaler.data.pool.uids import uid_hex
from datascaler.data.subset.subset import read_subset
from tests.data.metadata_files import make_metadata
from tests.score.captions import plain
from tests.score.captions.files import LANGUAGE_MODEL, invoke, run_json

MODEL = ("--language-model", LANGUAGE_MODEL)


def baseline(tmp_path: Path, name: str, *options: str) -> set[str]:
    where = ("--from-metadata", f"{tmp_path}/metadata", "--output-dir", f"{tmp_path}/out")
    made = run_json("subset", "baseline", name, *where, *options)
    uids = uid_hex(read_subset(made["file"]))
    assert len(uids) == made["uids"]
    # Again: nothing is left to do.
    assert run_json("subset", "baseline", name, *where, *options) == made
    return set(uids)


def test_no_filter_and_basic_filter(tmp_path: Path) -> None:
    rows = make_metadata(f"{tmp_path}/metadata")
    assert baseline(tmp_path, "no_filter") == set(rows["uid"].to_pylist())
    expected = plain.kept(rows, plain.basic)
    assert 20 < len(expected) < 200
    assert baseline(tmp_path, "basic_filter", *MODEL) == expected


@pytest.mark.parametrize("arch", ["b32", "l14"])
def test_clip_score(tmp_path: Path, arch: str) -> None:
    rows = make_metadata(f"{tmp_path}/metadata")
    column = f"clip_{arch}_similarity_score"
    expected = plain.best_fraction(rows, column, 0.3)
    assert baseline(tmp_path, "clip_score", "--arch", arch, "--fraction", "0.3") == expected
    assert len(expected) > int(0.3 * len(rows)) + 1  # ties
    expected = plain.kept(rows, lambda row: bool(np.float32(row[column]) >= np.float32(0.25)))
    assert baseline(tmp_path, "clip_score", "--arch", arch, "--threshold", "0.25") == expected


def test_laion2b(tmp_path: Path) -> None:
    rows = make_metadata(f"{tmp_path}/metadata")
    expected = plain.kept(
        rows,
        lambda row: (
            plain.cld3_english(row["text"]) and bool(np.float32(row["clip_b32_similarity_score"]) >= np.float32(0.28))
        ),
    )
    assert expected
    assert baseline(tmp_path, "laion2b") == expected


def test_text_based(tmp_path: Path) -> None:
    rows = make_metadata(f"{tmp_path}/metadata")
    words = tmp_path / "words.txt"
    words.write_text("Dog\ncat\nbook,\n")
    wanted = {"dog", "cat", "book,"}
    expected = plain.kept(
        rows, lambda row: plain.fasttext_english(row["text"]) and bool(wanted & set(row["text"].lower().split()))
    )
    assert expected
    assert baseline(tmp_path, "text_based", *MODEL, "--words", str(words)) == expected


def test_image_based_alone_and_with_clip_score(tmp_path: Path) -> None:
    rows = make_metadata(f"{tmp_path}/metadata")
    generator = np.random.default_rng(5)

    def unit(count: int) -> NDArray[np.float32]:
        vectors = generator.normal(size=(count, 768))
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)

    centroids, target, images = unit(10), unit(6), unit(len(rows))
    first = 0
    for number, count in enumerate((200, 150)):
        part = images[first : first + count]
        first += count
        np.savez_compressed(f"{tmp_path}/metadata/part_{number}/{number:032x}.npz", l14_img=part, l14_txt=part)
    np.save(f"{tmp_path}/centroids.npy", centroids)
    np.save(f"{tmp_path}/target.npy", target)
    hit = set((target @ centroids.T).argmax(axis=1).tolist())
    uids = rows["uid"].to_pylist()
    near = {
        uid for uid, cluster in zip(uids, (images @ centroids.T).argmax(axis=1).tolist(), strict=True) if cluster in hit
    }
    expected = near & plain.kept(rows, plain.image_based_captions)
    assert 0 < len(expected) < len(near) < len(rows)
    files = ("--centroids", f"{tmp_path}/centroids.npy", "--target", f"{tmp_path}/target.npy")
    assert baseline(tmp_path, "image_based", *MODEL, *files) == expected
    best = plain.best_fraction(rows, "clip_l14_similarity_score", 0.3)
    clip = ("--arch", "l14", "--fraction", "0.3")
    assert 0 < len(expected & best) < len(expected)
    assert baseline(tmp_path, "image_based_intersect_clip_score", *clip, *MODEL, *files) == expected & best


def test_a_dry_run_prints_commands_that_make_the_same_file(tmp_path: Path) -> None:
    make_metadata(f"{tmp_path}/metadata")
    arguments = ("subset", "baseline", "laion2b", "--from-metadata", f"{tmp_path}/metadata")
    result = invoke(*arguments, "--output-dir", f"{tmp_path}/out", "--dry-run")
    assert not (tmp_path / "out").exists()
    for line in result.stdout.splitlines():
        name, *words = line.split()
        assert name == "datascaler"
        assert invoke(*words).exit_code == 0
    by_hand = read_subset(f"{tmp_path}/out/subsets/laion2b.npy")
    made = run_json(*arguments, "--output-dir", f"{tmp_path}/again")
    assert (read_subset(made["file"]) == by_hand).all()


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("basic_filter", [], "basic_filter needs --language-model"),
        ("text_based", [*MODEL], "text_based needs --wordnet (or --words FILE)"),
        ("image_based", [*MODEL], "image_based needs --target"),
        ("clip_score", ["--arch", "b32"], "one of --fraction and --threshold"),
        ("clip_score", ["--fraction", "0.3"], "clip_score needs --arch b32 or l14"),
        ("no_filter", ["--fraction", "0.3"], "--fraction belongs to the baselines by clip_score, not to no_filter"),
    ],
)
def test_what_is_missing_is_named(name: str, options: list[str], words: str) -> None:
    result = invoke("subset", "baseline", name, "--from-metadata", "x", "--output-dir", "y", *options)
    assert result.exit_code == 2
    assert words in result.stderr
