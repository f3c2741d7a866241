"""Near-duplicate removal against a comparison of all pairs in numpy."""

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from datascaler import storage
from datascaler.cli.main import cli
from datascaler.score.embeddings.centroids import spherical_kmeans
from datascaler.score.embeddings.dedup import nearest_earlier
from tests.score.embeddings.pools import (
    SCORE_ID,
    Matrix,
    Pool,
    good_scores,
    is_usage_error,
    make_pool,
    random_units,
    run,
    scores_in,
    units,
)

EPS = 0.05


def pool_with_duplicates(folder: str) -> Pool:
    """200 rows in four shards, 80 of them near or exact copies of others, most of them in another shard."""
    base = random_units(120, 0)
    noise = np.random.default_rng(1).normal(size=(80, base.shape[1])) * np.repeat([0, 0.02, 0.06, 0.2], 20)[:, None]
    images = np.concatenate([base, units(base[:80] + noise)])[np.random.default_rng(2).permutation(200)]
    return make_pool(folder, dict(zip("abcd", np.split(images, 4), strict=True)), bad={"c": 17})


def plain(pool: Pool, centroids: Matrix, keep: str) -> list[float]:
    """1 for a row to keep, 0 for one that is close to an earlier row of its cluster."""
    clusters = (pool.images @ centroids.T).argmax(axis=1)
    to_centre = (pool.images @ centroids.T).max(axis=1)
    key = {"hard": to_centre, "easy": -to_centre, "score": -pool.scores, "first": np.arange(len(pool.uids))}[keep]
    kept = np.ones(len(pool.uids))
    for cluster in range(len(centroids)):
        members = np.flatnonzero(clusters == cluster).tolist()
        members.sort(key=lambda row: (key[row].astype(np.float32), pool.uids[row]))
        for place, row in enumerate(members):
            if any(pool.images[row] @ pool.images[earlier] > 1 - EPS for earlier in members[:place]):
                kept[row] = 0
    return kept.tolist()


@pytest.mark.parametrize("keep", ["hard", "easy", "score", "first"])
def test_one_cluster_is_a_comparison_of_all_pairs(tmp_path: Path, keep: str) -> None:
    pool = pool_with_duplicates(str(tmp_path))
    summary = run(pool, "dedup", "--clusters", "1", "--keep", keep)
    centroid = units(pool.images.sum(axis=0, keepdims=True))
    expected = plain(pool, centroid, keep)
    assert good_scores(summary["tables"]).tolist() == expected
    assert 50 < 199 - sum(expected) < 80
    (fitted,) = storage.list_files(f"{pool.out}/clusters", ".npy")
    np.testing.assert_allclose(np.load(fitted.url), centroid, atol=1e-5)


def test_rows_are_compared_within_their_clusters(tmp_path: Path) -> None:
    pool = pool_with_duplicates(str(tmp_path))
    summary = run(pool, "dedup", "--eps", str(EPS))
    (fitted,) = storage.list_files(f"{pool.out}/clusters", ".npy")
    centroids = np.load(fitted.url).astype(np.float64)
    assert len(centroids) == 14  # the square root of 200 rows
    assert good_scores(summary["tables"]).tolist() == plain(pool, centroids, "hard")
    # Clusters part few of the close pairs: all but these are found.
    assert 0.9 < (1 - good_scores(summary["tables"])).sum() / sum(1 - np.array(plain(pool, centroids[:1], "hard"))) <= 1


def test_a_duplicate_says_of_what(tmp_path: Path) -> None:
    pool = pool_with_duplicates(str(tmp_path))
    tables = run(pool, "dedup", "--clusters", "1", "--keep", "first")["tables"]
    names = ["status", "score", "similarity", "duplicate_of_high", "duplicate_of_low"]
    columns = scores_in(tables, names)
    vector_of = dict(zip(pool.uids, pool.images, strict=True))
    good = [row for row in zip(*(columns[name] for name in names), strict=True) if row[0] == "ok"]
    assert good[0][1:] == (1, None, None, None)
    for uid, (_, score, similarity, high, low) in zip(pool.uids[1:], good[1:], strict=True):
        assert (high is None) == (score == 1) == (similarity <= 1 - EPS)
        if high is not None:
            assert vector_of[uid] @ vector_of[f"{high:016x}{low:016x}"] == pytest.approx(similarity, abs=1e-5)
    bad = [row for row in zip(*(columns[name] for name in names), strict=True) if row[0] != "ok"]
    assert [row[2:] for row in bad] == [(None, None, None)]


def test_a_rerun_goes_on_and_other_rules_share_the_clusters(tmp_path: Path) -> None:
    pool = pool_with_duplicates(str(tmp_path))
    first = run(pool, "dedup")
    expected = scores_in(first["tables"])
    assert run(pool, "dedup")["skipped"] == 4
    storage.remove(f"{first['tables']}/c.parquet")
    assert run(pool, "dedup")["skipped"] == 3
    assert str(scores_in(first["tables"])) == str(expected)
    (fitted,) = storage.list_files(f"{pool.out}/clusters", ".npy")
    other = run(pool, "dedup", "--eps", "0.001", "--keep", "easy")
    assert other["score_id"] != first["score_id"]
    assert storage.list_files(f"{pool.out}/clusters", ".npy") == [fitted]
    # What was fitted serves the image-based filter too.
    run(pool, "image_based", "--centroids", fitted.url, "--target", f"{pool.out}/scores/{SCORE_ID}/a.npz")


def test_the_rows_to_keep_become_a_subset(tmp_path: Path) -> None:
    pool = pool_with_duplicates(str(tmp_path))
    summary = run(pool, "dedup")
    arguments = ["subset", "--output-dir", pool.out, "--method", "dedup", "--threshold", "1", "--json"]
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert f'"kept_rows": {int(good_scores(summary["tables"]).sum())}' in result.stdout


def test_several_workers_are_refused(tmp_path: Path) -> None:
    pool = pool_with_duplicates(str(tmp_path))
    said = is_usage_error(pool, "dedup", "--embeddings", SCORE_ID, "--count", "2", "--index", "0")
    assert "leave out --count 2" in said


def test_the_nearest_earlier_row_across_blocks() -> None:
    vectors = random_units(4500, 3, width=4).astype(np.float32)
    similarity, place = nearest_earlier(torch.from_numpy(vectors))
    cosines = np.where(np.tri(4500, k=-1, dtype=bool), vectors @ vectors.T, -np.inf)
    np.testing.assert_allclose(similarity, cosines.max(axis=1), atol=1e-6)
    assert (similarity[0], place[0]) == (-np.inf, -1)
    rows = np.arange(1, 4500)
    assert (place[1:] < rows).all()
    np.testing.assert_allclose(cosines[rows, place[1:]], similarity[1:], atol=1e-6)


def test_spherical_kmeans_finds_clusters_that_are_there() -> None:
    centres = units(np.eye(5, 32))
    noise = np.random.default_rng(0).normal(size=(500, 32)) * 0.05
    vectors = torch.from_numpy(units(np.repeat(centres, 100, axis=0) + noise).astype(np.float32))
    fitted = spherical_kmeans(vectors, 20, seed=1)
    assert fitted.shape == (20, 32)
    np.testing.assert_allclose(fitted.norm(dim=1).numpy(), 1, atol=1e-6)
    assert torch.equal(fitted, spherical_kmeans(vectors, 20, seed=1))
    # Each of the clusters that are there has at least one centre, and no centre lies between two of them.
    own = (fitted.numpy() @ centres.T).argmax(axis=1)
    assert set(own.tolist()) == set(range(5))
    assert ((fitted.numpy() @ centres.T).max(axis=1) > 0.9).all()
    assert spherical_kmeans(vectors[:3], 20, seed=1).shape == (3, 32)
