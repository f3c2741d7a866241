"""A pool of real pictures on a real S3 server, through the commands that a user types."""

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from datascaler import storage
from datascaler.cli.main import cli
from datascaler.data.pool.parquet import read_parquet
from tests.real_pictures import EMOJI_COUNT, digits_folder, emoji_folder

DIGITS = 1797


def run_json(*arguments: str) -> dict[str, Any]:
    result = CliRunner().invoke(cli, [*arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    value: dict[str, Any] = json.loads(result.stdout)
    return value


@pytest.mark.slow
def test_emoji_become_a_pool_and_digits_an_evaluation_set(tmp_path: Path, s3_url: str) -> None:
    images_dir, captions = emoji_folder(tmp_path / "emoji")
    pool = f"{s3_url}/pool"
    arguments = ["pool", "make", "--images-dir", str(images_dir), "--captions", str(captions)]
    arguments += ["--samples-per-shard", "500", "--output-dir", pool]
    made = run_json(*arguments)
    assert (made["shards"], made["rows"], made["samples"]) == (4, EMOJI_COUNT, EMOJI_COUNT)
    assert run_json(*arguments)["shards_skipped"] == 4

    report = run_json("pool", "check", "--data-dir", pool, "--decode", "all")
    assert report["statuses"] == {"ok": EMOJI_COUNT}
    assert report["images_decoded"] == EMOJI_COUNT
    assert report["image_side"] | {"count": 0} == {"count": 0, "smallest": 64, "median": 64, "mean": 64, "largest": 64}
    assert (report["duplicate_uids"], report["missing_shards"], report["stats_mismatches"]) == (0, [], [])

    # Uids differ where text or url does, so pictures that are the same to the byte (families and flags that are drawn
    # alike) and a name that occurs twice are no duplicates of the check; they are in the metadata for who looks.
    metadata = read_parquet(made["metadata"])
    pictures, texts = (Counter(metadata[column].to_pylist()) for column in ("sha256", "text"))
    assert (len(pictures), len(texts)) == (1878, 1910)
    assert [text for text, times in texts.items() if times > 1] == ["man in tuxedo"]

    digits = digits_folder(tmp_path / "digits")
    written = run_json(
        "pool", "make-evalset", "--images-dir", str(digits), "--output-dir", f"{s3_url}/digits",
        "--template", "the digit {c}.",
    )  # fmt: skip
    assert (written["images"], written["classes"], written["failures"]) == (DIGITS, 10, {})
    names = storage.read_text(f"{s3_url}/digits/classnames.txt").split()
    assert names == sorted(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])


@pytest.mark.slow
def test_the_whole_line_on_emoji(tmp_path: Path, s3_url: str) -> None:
    """Pool, filter, score, subset, train, eval: every step on pictures that nobody here drew, all files on S3."""
    images_dir, captions = emoji_folder(tmp_path / "emoji")
    pool, out, runs = (f"{s3_url}/{name}" for name in ("pool", "scored", "runs"))
    made = ["--images-dir", str(images_dir), "--captions", str(captions), "--samples-per-shard", "500"]
    run_json("pool", "make", *made, "--output-dir", pool)
    digits = digits_folder(tmp_path / "digits")
    evalset = f"{s3_url}/evalsets/wds_digits_test"
    run_json("pool", "make-evalset", "--images-dir", str(digits), "--output-dir", evalset, "--template", "{c}")
    task = f"digits:\n  name: Digits\n  size: {DIGITS}\n  main_metric: acc1\n  num_classes: 10\n"
    storage.publish_text(f"{s3_url}/tasks/tasklist.yml", task)

    recipe = ["--scale", "debug", "--model-arch", "ViT-Mini-8-48", "--batch-size", "64", "--lr", "2e-3"]
    recipe += ["--warmup", "10", "--num-workers", "0", "--output-dir", runs, "--data-dir", pool]
    network = run_json("train", *recipe, "--train-num-samples", "7680")
    # It has learnt something of which name goes with which picture: a guess has the loss ln 64.
    assert network["train_loss"] < math.log(64) - 0.5

    scores = ["--data-dir", pool, "--output-dir", out, "--method", "dfn", "--pretrained", network["run"]]
    scored = run_json("score", *scores)
    assert (scored["rows"], scored["ok"], scored["bad"]) == (EMOJI_COUNT, EMOJI_COUNT, {})
    assert run_json("score", *scores)["skipped"] == 4

    subset = run_json(
        "subset", "--output-dir", out, "--method", "dfn", "--fraction", "0.4", "--formats", "npy,pkl,trie"
    )
    assert subset["kept_rows"] == EMOJI_COUNT * 4 // 10

    losses: list[float] = []
    for subset_file in subset["files"]:
        width = ["--use-mup", "--width-mult", "1/2", "--min-width-mult", "1/4", "--seed", str(len(losses))]
        run = run_json("train", *recipe, *width, "--train-num-samples", "1280", "--subset-file", subset_file)
        assert run["samples_seen"] == 1280
        losses.append(run["train_loss"])
    assert all(loss < math.log(64) for loss in losses)

    where = ["--data-dir", f"{s3_url}/evalsets", "--task-dir", f"{s3_url}/tasks"]
    rows = run_json("eval", "--train-dir", runs, "--method", "dfn", "--fraction", "0.4", *where)["runs"]
    assert len(rows) == 3
    assert rows[0]["best_train_loss"]
    for row in rows:
        assert (row["tasks"], row["warnings"], row["missing"]) == (1, {}, [])
        assert 0 <= row["scores"]["digits"] <= 1
        line = json.loads(storage.read_text(row["results"]))
        assert line["metrics"]["main_metric"] == row["scores"]["digits"]
