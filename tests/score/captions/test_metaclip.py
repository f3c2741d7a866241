"""MetaCLIP's balancing: what is matched, counted and kept."""

import json
import random
from pathlib import Path

import numpy as np
import pytest

from datascaler import storage
from datascaler.data.subset.subset import read_subset
from datascaler.errors import ConfigError
from datascaler.score.captions.entries import read_entries
from tests.data.metadata_files import make_metadata
from tests.score.captions.files import run_json, score_rows

WORDS = ("dog", "old", "man", "the", "sea", "a", "", "-", "old-man")


def spaced_matches(entries: list[str], caption: str) -> list[str]:
    return [entry for entry in entries if f" {entry} " in f" {caption} "]


def test_entries_are_found_as_strings_between_spaces_are(tmp_path: Path) -> None:
    generator = random.Random(0)

    def text(longest: int) -> str:
        return " ".join(generator.choice(WORDS) for _ in range(generator.randint(1, longest)))

    entries = list(dict.fromkeys(entry for _ in range(300) if (entry := text(4)).strip()))
    (tmp_path / "entries.json").write_text(json.dumps(entries))
    found = read_entries(f"{tmp_path}/entries.json")
    names = list(found.numbers)
    matched = 0
    for _ in range(2000):
        caption = text(8)
        ours = sorted(names[number] for number in found.found_in(caption))
        assert ours == sorted(spaced_matches(entries, caption))
        matched += len(ours)
    assert matched > 2000


def test_an_entry_is_a_whole_line_with_its_blanks(tmp_path: Path) -> None:
    (tmp_path / "entries.txt").write_bytes("\ufeffold man\r\n\n the\u2028sea\r\n-\x85".encode())
    assert list(read_entries(f"{tmp_path}/entries.txt").numbers) == ["old man", " the\u2028sea", "-\x85"]


def test_the_sample_is_that_of_the_formula_whoever_draws_it(tmp_path: Path) -> None:
    rows = make_metadata(f"{tmp_path}/metadata", sizes=(2000, 1000, 1))
    entries = ["a", "dog", "the", "Hund", "old man"]
    (tmp_path / "entries.txt").write_text("\n".join(entries) + "\n\n")
    options = ("--method", "metaclip", "--entries", f"{tmp_path}/entries.txt", "--entry-limit", "200")
    where = ("--from-metadata", f"{tmp_path}/metadata")
    for index in (2, 0, 1):
        run_json("score", *where, "--output-dir", f"{tmp_path}/out", *options, "--index", str(index), "--count", "3")
    scored = score_rows(*where, "--output-dir", f"{tmp_path}/out", *options)
    assert scored == score_rows(*where, "--output-dir", f"{tmp_path}/alone", *options)

    captions = rows["text"].to_pylist()
    matches = [spaced_matches(entries, caption) for caption in captions]
    counts = {entry: sum(entry in found for found in matches) for entry in entries}
    assert max(counts.values()) > 400
    keep = [1 - np.prod([1 - 200 / max(counts[entry], 200) for entry in found]) for found in matches]
    np.testing.assert_allclose(scored["keep_probability"].to_numpy(), keep, atol=1e-6)
    assert scored["entries"].to_pylist() == [len(found) for found in matches]

    score = scored["score"].to_numpy()
    assert (score[np.array(keep) == 0] < 0).all()
    assert (score[np.array(keep) == 1] >= 0).all()
    kept = int((score >= 0).sum())
    spread = np.sqrt(sum(p * (1 - p) for p in keep))
    assert abs(kept - sum(keep)) < 4 * spread
    made = run_json("subset", "--output-dir", f"{tmp_path}/out", "--method", "metaclip", "--threshold", "0")
    assert len(read_subset(made["files"][0])) == kept
    other = score_rows(*where, "--output-dir", f"{tmp_path}/out", *options, "--seed", "1")["score"].to_numpy()
    assert ((other >= 0) != (score >= 0)).sum() > 100


def test_counts_are_made_once(tmp_path: Path) -> None:
    make_metadata(f"{tmp_path}/metadata", sizes=(20, 10))
    (tmp_path / "entries.txt").write_text("dog\n")
    where = ("--from-metadata", f"{tmp_path}/metadata", "--output-dir", f"{tmp_path}/out")
    run_json("score", *where, "--method", "metaclip", "--entries", f"{tmp_path}/entries.txt")
    before = storage.list_files(f"{tmp_path}/out/metaclip_counts", recursive=True)
    assert [storage.basename(info.url) for info in before].count("total.npy") == 1
    assert len(before) == 3
    run_json("score", *where, "--method", "metaclip", "--entries", f"{tmp_path}/entries.txt", "--entry-limit", "2")
    assert storage.list_files(f"{tmp_path}/out/metaclip_counts", recursive=True) == before


@pytest.mark.parametrize(
    ("content", "words"),
    [("\n \n", "has no entries"), ("[1, 2]", "a JSON list of strings"), ("[", "begins as JSON"), (b"\xff", "UTF-8")],
)
def test_a_file_without_entries_is_named(tmp_path: Path, content: str | bytes, words: str) -> None:
    url = f"{tmp_path}/entries"
    storage.publish_bytes(url, content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError, match=words):
        read_entries(url)
