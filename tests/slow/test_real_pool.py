"""A pool of real pictures on a real S3 server, through the commands that a user types."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from datascaler import storage
from datascaler.cli.main import cli
from datascaler.data.parquet import read_parquet
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
