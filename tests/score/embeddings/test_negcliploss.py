"""negCLIPLoss against the formula, written down in numpy."""

from pathlib import Path

import numpy as np
import pytest
import torch

from datascaler import storage
from datascaler.score.embeddings.from_scores import source_of_scores
from datascaler.score.embeddings.random_rows import collect_rows
from datascaler.score.embeddings.vectors import log_sums
from tests.score.embeddings.pools import (
    SCORE_ID,
    Matrix,
    good_scores,
    random_units,
    run,
    scores_in,
    small_pool,
)


def log_sum(values: Matrix) -> float:
    return float(np.log(np.exp(values - values.max()).sum()) + values.max())


def plain(images: Matrix, texts: Matrix, batch: list[int], temperature: float) -> Matrix:
    """The score of every row in a batch of these rows and itself."""
    scores = []
    for row in range(len(images)):
        others = sorted({*batch, row})
        to_texts = log_sum(texts[others] @ images[row] / temperature)
        to_images = log_sum(images[others] @ texts[row] / temperature)
        scores.append(images[row] @ texts[row] - temperature / 2 * (to_texts + to_images))
    return np.array(scores)


@pytest.mark.parametrize("temperature", [0.01, 0.2])
def test_a_pool_that_fits_a_batch_is_the_batch(tmp_path: Path, temperature: float) -> None:
    pool = small_pool(str(tmp_path))
    summary = run(pool, "negcliploss", "--temperature", str(temperature))
    expected = plain(pool.images, pool.texts, list(range(len(pool.images))), temperature)
    assert expected.std() > 0.05
    np.testing.assert_allclose(good_scores(summary["tables"]), expected, atol=2e-6)
    assert (summary["shards"], summary["rows"], summary["ok"]) == (3, 26, 25)


def test_a_larger_pool_is_compared_with_random_rows_of_all_shards(tmp_path: Path) -> None:
    pool = small_pool(str(tmp_path))
    summary = run(pool, "negcliploss", "--batch-rows", "6", "--rounds", "4", "--seed", "5")
    drawn = collect_rows(source_of_scores(pool.out, "", SCORE_ID), 24, 5, text=True)
    # Rows of status ok are numbered over all shards here; the bad one is row 3 of shard 1, ordinal 12 of the pool.
    ordinals = np.array([0, 9, 14])[drawn.shard] + drawn.row
    places = (ordinals - (ordinals > 12)).tolist()
    assert len(set(places)) == 24
    batches = [places[start : start + 6] for start in (0, 6, 12, 18)]
    expected = np.mean([plain(pool.images, pool.texts, batch, 0.01) for batch in batches], axis=0)
    np.testing.assert_allclose(good_scores(summary["tables"]), expected, atol=2e-6)
    other = run(pool, "negcliploss", "--batch-rows", "6", "--rounds", "4", "--seed", "6")
    assert other["score_id"] != summary["score_id"]
    assert not np.allclose(good_scores(other["tables"]), expected, atol=1e-4)


def test_workers_that_share_the_work_make_the_same_scores(tmp_path: Path) -> None:
    pool = small_pool(str(tmp_path))
    options = ["--batch-rows", "8", "--rounds", "3"]
    whole = run(pool, "negcliploss", *options)
    expected = scores_in(whole["tables"])
    for index in range(2):
        part = run(pool, "negcliploss", *options, "--score-name", "parts", "--index", str(index), "--count", "2")
    assert str(scores_in(part["tables"])) == str(expected)


def test_a_rerun_goes_on(tmp_path: Path) -> None:
    pool = small_pool(str(tmp_path))
    first = run(pool, "negcliploss")
    assert run(pool, "negcliploss")["skipped"] == 3
    expected = scores_in(first["tables"])
    storage.remove(f"{first['tables']}/b.parquet")
    assert run(pool, "negcliploss")["skipped"] == 2
    assert str(scores_in(first["tables"])) == str(expected)


def test_sums_over_many_tiles() -> None:
    """Temperatures at which float32 would overflow without the care for the largest."""
    vectors, others = random_units(1500, 1, width=6), random_units(2100, 2, width=6)
    for temperature in (0.005, 1.0):
        found = log_sums(torch.from_numpy(vectors).float(), torch.from_numpy(others).float(), temperature)
        expected = [log_sum(others @ vector / temperature) for vector in vectors]
        np.testing.assert_allclose(found.numpy(), expected, rtol=3e-6)
