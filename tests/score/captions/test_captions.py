"""Caption rules over the tars of a pool and over DataComp's metadata, through the command."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datascaler import storage
from datascaler.data.subset.subset import read_subset
from datascaler.data.tables.score_table import read_footer
from datascaler.errors import BadInputError
from datascaler.spec.score import CAPTION_METHODS
from tests.data.metadata_files import CAPTIONS, make_metadata, metadata_rows, write_metadata
from tests.data.tars import members_of, shard_of
from tests.score.captions import plain
from tests.score.captions.files import LANGUAGE_MODEL, invoke, run_json, score_rows
from tests.score.pools import BAD, make_pool

MODEL = ("--language-model", LANGUAGE_MODEL)


def sized(number: int, caption: str, width: int | None = 640, height: int = 480) -> dict[str, bytes]:
    members = members_of(number, caption=caption)
    if width is not None:
        fields = b', "original_width": %d, "original_height": %d}' % (width, height)
        members["json"] = members["json"].rstrip().removesuffix(b"}") + fields
    return members


def write_metadata_bytes(columns: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def test_tars_are_judged_without_a_look_at_their_images(tmp_path: Path) -> None:
    samples = [
        sized(0, "a photo of a dog on the beach"),
        sized(1, "a photo of a dog on the beach") | {"png": b"no image at all"},
        sized(2, "ein Hund am Strand im Schnee"),
        sized(3, "a photo of a dog on the beach", 199),
        sized(4, "a photo of a dog on the beach", 1500),
        sized(5, "a photo of a dog on the beach", 1440),
        sized(6, "dog here"),
        sized(7, "a photo of a dog on the beach", None),
        sized(8, "a photo of a dog on the beach", 10**400),
        *BAD.values(),
    ]
    pool = make_pool(f"{tmp_path}/pool", {"0": shard_of(samples), "1": shard_of([])})
    rows = score_rows("--data-dir", pool, "--output-dir", f"{tmp_path}/out", "--method", "basic", *MODEL)
    assert rows["score"].to_pylist()[:7] == [1, 1, 0, 0, 0, 1, 0]
    assert rows["status"].to_pylist()[7:9] == ["no original size"] * 2
    assert np.isnan(rows["score"].to_numpy()[7:]).all()
    # A picture that does not decode is nothing that a caption rule sees.
    statuses = [status for status in BAD if status != "image does not decode"]
    assert [status for status in rows["status"].to_pylist()[9:] if status in statuses] == statuses
    made = run_json("subset", "--output-dir", f"{tmp_path}/out", "--method", "basic", "--threshold", "1")
    assert made["plan"].endswith("/basic-t1.0.plan")
    assert made["kept_uids"] == 3


def test_nulls_of_metadata_are_rows_with_their_reason(tmp_path: Path) -> None:
    columns = metadata_rows(4)
    columns |= {
        "uid": ["no uid", *columns["uid"][1:]],
        "text": [CAPTIONS[0], None, CAPTIONS[0], CAPTIONS[0]],
        "original_width": [300, 300, None, 300],
        "original_height": [300, 300, 300, 300],
        "clip_b32_similarity_score": [0.5, 0.5, None, float("nan")],
    }
    write_metadata(f"{tmp_path}/metadata/a.parquet", columns)
    where = ("--from-metadata", f"{tmp_path}/metadata", "--output-dir", f"{tmp_path}/out")
    rows = score_rows(*where, "--method", "basic", *MODEL)
    assert rows["status"].to_pylist() == ["no uid", "no caption", "no original size", "ok"]
    assert rows["score"].to_numpy()[3] == 1
    rows = score_rows(*where, "--method", "clip", "--arch", "b32")
    assert rows["status"].to_pylist() == ["no uid", "ok", "no score in the metadata", "no score in the metadata"]
    np.testing.assert_array_equal(rows["score"].to_numpy(), [np.nan, 0.5, np.nan, np.nan])
    (url,) = [info.url for info in storage.list_files(f"{tmp_path}/out/scores/clip-b32-metadata", recursive=True)]
    footer = read_footer(url)
    assert (footer.method, footer.model, footer.settings) == (
        *("clip", "ViT-B-32"),
        {"source": "metadata", "arch": "b32"},
    )


ASSETS = {"basic": MODEL, "english": MODEL, "text_based": (*MODEL, "--words"), "metaclip": ("--entries",)}
"""What each method needs; a file follows a last flag that wants one. A method more fails until it has its row."""


def test_every_method_scores_by_a_rule_of_its_own(tmp_path: Path) -> None:
    make_metadata(f"{tmp_path}/metadata", sizes=(40,))
    (tmp_path / "words").write_text("dog\ncat\n")
    scores = []
    for method in CAPTION_METHODS:
        assets = [*ASSETS[method], *([f"{tmp_path}/words"] if ASSETS[method][-1] in ("--words", "--entries") else [])]
        where = ("--from-metadata", f"{tmp_path}/metadata", "--output-dir", f"{tmp_path}/out")
        scores.append(score_rows(*where, "--method", method, *assets)["score"].to_numpy().tobytes())
    assert len(set(scores)) == len(CAPTION_METHODS)


@pytest.mark.parametrize("where", ["local", "s3"])
def test_shipped_scores_are_taken_as_they_are_by_any_number_of_workers(
    request: pytest.FixtureRequest, where: str
) -> None:
    folder = str(request.getfixturevalue("s3_url" if where == "s3" else "tmp_path"))
    rows = make_metadata(f"{folder}/metadata")
    arguments = ("--from-metadata", f"{folder}/metadata", "--output-dir", f"{folder}/out", "--method", "clip")
    assert run_json("score", *arguments, "--index", "1", "--count", "2")["shards"] == 1
    assert run_json("score", *arguments)["skipped"] == 1
    scored = score_rows(*arguments)
    assert scored["score"].to_pylist() == rows["clip_l14_similarity_score"].to_pylist()
    made = run_json("subset", "--output-dir", f"{folder}/out", "--method", "clip", "--top", "30", "--formats", "npy")
    assert made["plan"] is None
    assert len(read_subset(made["files"][0])) == 30


@pytest.mark.parametrize("method", [("clip",), ("basic", "--no-language")], ids=["clip", "basic"])
def test_metadata_files_that_cannot_be_used_cost_no_other_file(tmp_path: Path, method: tuple[str, ...]) -> None:
    """One cut, one of nothing, one without a column, one with words for numbers and one with lists for uids."""
    good = make_metadata(f"{tmp_path}/metadata", sizes=(30,))
    columns = metadata_rows(5)
    whole = write_metadata_bytes(columns)
    storage.publish_bytes(f"{tmp_path}/metadata/cut.parquet", whole[: len(whole) // 2])
    storage.publish_bytes(f"{tmp_path}/metadata/empty.parquet", b"")
    numbers = ("clip_l14_similarity_score", "original_width")
    write_metadata(f"{tmp_path}/metadata/few.parquet", {"uid": columns["uid"], "text": columns["text"]})
    write_metadata(f"{tmp_path}/metadata/words.parquet", columns | {name: ["wide"] * 5 for name in numbers})
    write_metadata(f"{tmp_path}/metadata/lists.parquet", columns | {"uid": [[uid] for uid in columns["uid"]]})
    where = ("score", "--from-metadata", f"{tmp_path}/metadata", "--output-dir", f"{tmp_path}/out", "--method", *method)
    result = invoke(*where, "--json")
    assert isinstance(result.exception, BadInputError)
    assert result.exception.exit_code == 65
    printed = json.loads(result.stdout)
    assert (printed["shards"], printed["rows"]) == (1, 30)
    names = ["cut", "empty", "few", "lists", "words"]
    assert [Path(line.partition(": ")[0]).stem for line in printed["unreadable"]] == names
    assert [Path(info.url).stem for info in storage.list_files(printed["tables"], recursive=True)] == ["0" * 32]
    for name in names:
        storage.remove(f"{tmp_path}/metadata/{name}.parquet")
    again = invoke(*where, "--json")
    assert "5 of 6 shards are gone or damaged, the others are scored" in str(again.exception)
    assert json.loads(again.stdout)["skipped"] == 1
    assert good.num_rows == 30


def test_a_damaged_table_costs_no_other_shard(tmp_path: Path) -> None:
    make_metadata(f"{tmp_path}/metadata", sizes=(20, 10, 5))
    where = ("score", "--from-metadata", f"{tmp_path}/metadata", "--output-dir", f"{tmp_path}/out", "--method", "clip")
    tables = json.loads(invoke(*where, "--json").stdout)["tables"]
    first, second, third = (Path(info.url) for info in storage.list_files(tables, recursive=True))
    first.write_bytes(first.read_bytes()[:-9])
    third.unlink()
    result = invoke(*where, "--json")
    assert isinstance(result.exception, BadInputError)
    printed = json.loads(result.stdout)
    assert (printed["shards"], printed["skipped"], printed["rows"]) == (2, 1, 15)
    assert f"{first} is not a readable parquet file" in printed["unreadable"][0]
    assert "remove the file, and run the same command again" in printed["unreadable"][0]
    assert third.exists()
    first.unlink()
    assert run_json(*where)["rows"] == 35
    assert second.exists()


@pytest.mark.parametrize("model", [LANGUAGE_MODEL, "cld3"])
def test_english_scores_its_probability_where_nothing_is_likelier(tmp_path: Path, model: str) -> None:
    rows = make_metadata(f"{tmp_path}/metadata", sizes=(50,))
    where = ("--from-metadata", f"{tmp_path}/metadata", "--output-dir", f"{tmp_path}/out")
    scored = score_rows(*where, "--method", "english", "--language-model", model)
    is_english = plain.cld3_english if model == "cld3" else plain.fasttext_english
    expected = [is_english(text) for text in rows["text"].to_pylist()]
    assert [score > 0.001 for score in scored["score"].to_pylist()] == expected
    assert [language == "en" for language in scored["language"].to_pylist()] == expected
    assert 0 < sum(expected) < 50


def test_other_bounds_are_other_scores(tmp_path: Path) -> None:
    rows = make_metadata(f"{tmp_path}/metadata", sizes=(50,))
    where = ("--from-metadata", f"{tmp_path}/metadata", "--output-dir", f"{tmp_path}/out", "--method", "basic")
    first = run_json("score", *where, "--no-language", "--min-side", "0", "--max-aspect", "0")
    scored = score_rows(*where, "--no-language", "--min-side", "0", "--max-aspect", "0")
    expected = [len(text.split()) > 2 and len(text) > 5 for text in rows["text"].to_pylist()]
    assert scored["score"].to_pylist() == expected
    assert run_json("score", *where, "--no-language")["score_id"] != first["score_id"]
    result = invoke("score", *where, "--no-language", "--score-name", first["score_id"])
    assert "holds other work: max_aspect is 0.0, not 3.0" in str(result.exception)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--method", "basic"], "or --no-language to leave it out"),
        (["--method", "english"], "--method english needs to know the language: give --language-model FILE"),
        (["--method", "basic", "--no-language", *MODEL], "needs either --language-model or --no-language"),
        (["--method", "text_based", *MODEL], "needs --words FILE"),
        (["--method", "metaclip"], "needs --entries FILE"),
        (["--method", "metaclip", "--words", "x"], "--words has no meaning for --method metaclip"),
        (["--method", "clip", "--words", "x"], "--words has no meaning for --method clip"),
        (["--method", "clip", "--arch", "h14"], "has scores of b32 and l14, not 'h14'"),
        (["--method", "basic", "--no-language", "--data-dir", "x"], "needs one of --data-dir and --from-metadata"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(tmp_path: Path, options: list[str], words: str) -> None:
    result = invoke("score", "--from-metadata", "x", "--output-dir", str(tmp_path), *options)
    assert result.exit_code == 2
    assert words in result.stderr


def test_a_file_that_is_no_language_model_is_named(tmp_path: Path) -> None:
    make_metadata(f"{tmp_path}/metadata", sizes=(2,))
    (tmp_path / "model.bin").write_bytes(b"not a model")
    where = ("--from-metadata", f"{tmp_path}/metadata", "--output-dir", f"{tmp_path}/out")
    result = invoke("score", *where, "--method", "english", "--language-model", f"{tmp_path}/model.bin")
    assert "model.bin is not a fastText model, as lid.176.bin is" in str(result.exception)
