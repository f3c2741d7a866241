"""NormSim and DataComp's image-based filter, against numpy."""

from pathlib import Path

import numpy as np
import pytest

from datascaler import storage
from datascaler.errors import BadInputError, ConfigError
from tests.score.embeddings.pools import fails, good_scores, make_pool, random_units, run, save_npz, small_pool, units


def test_normsim_is_the_norm_of_the_cosines_with_all_targets(tmp_path: Path) -> None:
    pool = small_pool(str(tmp_path))
    target = 3 * random_units(50, 9)
    with storage.publish(f"{tmp_path}/target.npy") as file:
        np.save(file, target)
    cosines = pool.images @ units(target).T
    for p, expected in (("2", np.sqrt((cosines**2).sum(axis=1))), ("inf", cosines.max(axis=1))):
        summary = run(pool, "normsim", "--target", f"{tmp_path}/target.npy", "--p", p)
        np.testing.assert_allclose(good_scores(summary["tables"]), expected, atol=2e-6)
        assert summary["ok"] == 25


def test_a_pool_of_ones_own_can_be_the_target(tmp_path: Path) -> None:
    """Zeros where pictures were bad are left out; the target's content names it, not where it lies."""
    pool = small_pool(str(tmp_path))
    target = make_pool(str(tmp_path / "target"), {"x": random_units(6, 4), "y": random_units(3, 5)}, bad={"y": 1})
    summary = run(pool, "normsim", "--target", f"{target.out}/scores", "--p", "inf")
    expected = (pool.images @ target.images.T).max(axis=1)
    np.testing.assert_allclose(good_scores(summary["tables"]), expected, atol=2e-6)
    (tmp_path / "moved").mkdir()
    (Path(target.out) / "scores").rename(tmp_path / "moved" / "scores")
    assert run(pool, "normsim", "--target", f"{tmp_path}/moved", "--p", "inf")["skipped"] == 3


def test_image_based_keeps_the_clusters_of_targets(tmp_path: Path) -> None:
    pool = small_pool(str(tmp_path))
    centroids, target = random_units(8, 6), random_units(3, 7)
    save_npz(f"{tmp_path}/centroids.npz", compressed=True, anything=centroids.astype(np.float32))
    save_npz(f"{tmp_path}/target.npz", img=target.astype(np.float16), txt=target[:1].astype(np.float16))
    options = ["--centroids", f"{tmp_path}/centroids.npz", "--target", f"{tmp_path}/target.npz"]
    summary = run(pool, "image_based", *options)
    hit = set((target @ centroids.T).argmax(axis=1).tolist())
    expected = [float(cluster in hit) for cluster in (pool.images @ centroids.T).argmax(axis=1)]
    assert good_scores(summary["tables"]).tolist() == expected
    assert 0 < sum(expected) < len(expected)


@pytest.mark.parametrize(
    ("array", "error", "words"),
    [
        (random_units(4, 0, width=8), ConfigError, "vectors of 16 numbers, but they are compared with vectors of 8"),
        (random_units(4, 0)[0], BadInputError, r"float64 [16], expected floats [rows, width]"),
        (np.ones((2, 16), np.int32), BadInputError, r"int32 [2, 16], expected floats [rows, width]"),
        (np.full((2, 16), np.nan), ConfigError, "not finite"),
        (np.zeros((2, 16)), ConfigError, "has no vectors"),
    ],
)
def test_a_target_that_does_not_fit_is_named(
    tmp_path: Path, array: np.ndarray, error: type[Exception], words: str
) -> None:
    pool = small_pool(str(tmp_path))
    with storage.publish(f"{tmp_path}/target.npy") as file:
        np.save(file, array)
    raised, _ = fails(pool, "normsim", "--embeddings", "clip-tiny-00000000", "--target", f"{tmp_path}/target.npy")
    assert isinstance(raised, error)
    assert words in str(raised)
    storage.publish_bytes(f"{tmp_path}/target.npy", b"not an array")
    raised, _ = fails(pool, "normsim", "--embeddings", "clip-tiny-00000000", "--target", f"{tmp_path}/target.npy")
    assert isinstance(raised, BadInputError)
    assert "not a readable" in str(raised)
