"""Where embeddings come from: our own .npz files and DataComp's, and what is said of missing or wrong ones."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datascaler import storage
from datascaler.data.pool.samples import BAD_IMAGE, NO_UID
from datascaler.errors import BadInputError, ConfigError
from datascaler.score.embeddings.npz_rows import open_vectors
from datascaler.score.embeddings.source import NO_EMBEDDING
from tests.data.made_tables import uids_of
from tests.score.embeddings.pools import (
    SCORE_ID,
    fails,
    good_scores,
    is_usage_error,
    random_units,
    run,
    save_npz,
    scores_in,
    small_pool,
    units,
)


def test_rows_keep_their_places_and_their_reasons(tmp_path: Path) -> None:
    pool = small_pool(str(tmp_path))
    url = f"{pool.out}/scores/{SCORE_ID}/c.npz"
    with np.load(url) as arrays:
        images, texts = arrays["img"].copy(), arrays["txt"].copy()
    images[2], texts[5] = np.nan, 0
    save_npz(url, img=images, txt=texts)
    summary = run(pool, "negcliploss")
    assert summary["bad"] == {BAD_IMAGE: 1, NO_EMBEDDING: 2}
    scores, source = scores_in(summary["tables"]), scores_in(f"{pool.out}/scores/{SCORE_ID}")
    for name in ("uid_high", "uid_low", "key", "offset", "length"):
        assert scores[name] == source[name]
    assert [row for row, status in enumerate(scores["status"]) if status != "ok"] == [12, 16, 19]
    assert np.flatnonzero(np.isnan(scores["score"])).tolist() == [12, 16, 19]
    # A method that needs no captions has no use for their vectors.
    assert run(pool, "dedup")["bad"] == {BAD_IMAGE: 1, NO_EMBEDDING: 1}


def test_all_of_it_on_a_real_s3_server(s3_url: str, tmp_path: Path) -> None:
    pool, local = small_pool(s3_url), small_pool(str(tmp_path))
    for method in ("negcliploss", "dedup"):
        there, here = run(pool, method), run(local, method)
        np.testing.assert_array_equal(good_scores(there["tables"]), good_scores(here["tables"]))
        assert run(pool, method)["skipped"] == 3


def test_datacomps_npz_files_are_read_row_for_row(tmp_path: Path) -> None:
    """Compressed float32, as DataComp's downloader leaves them."""
    folder = tmp_path / "metadata"
    folder.mkdir()
    images: list[Any] = []
    texts: list[Any] = []
    for number, rows in enumerate((7, 11)):
        uids = uids_of(rows, seed=number)
        image, text = (random_units(rows, 10 * number + seed).astype(np.float16).astype(np.float32) for seed in (0, 1))
        if number:
            uids[4] = "not a uid"
        columns = {
            "uid": uids,
            "clip_b32_similarity_score": np.zeros(rows),
            "clip_l14_similarity_score": (image * text).sum(axis=1),
        }
        pq.write_table(pa.table(columns), folder / f"{number}.parquet")
        others = random_units(rows, 5, width=8).astype(np.float32)
        save_npz(f"{folder}/{number}.npz", compressed=True, b32_img=others, b32_txt=others, l14_img=image, l14_txt=text)
        good = [row for row in range(rows) if uids[row] != "not a uid"]
        images.append(units(image[good]))
        texts.append(units(text[good]))
    out, where = f"{tmp_path}/out", ["--from-metadata", str(folder)]
    summary = run(out, "negcliploss", *where, "--temperature", "0.1", embeddings=None)
    cosines = np.concatenate(images) @ np.concatenate(texts).T
    sums = [np.log(np.exp(cosines / 0.1).sum(axis=axis)) for axis in (0, 1)]
    expected = np.diag(cosines) - 0.05 * (sums[0] + sums[1])
    np.testing.assert_allclose(good_scores(summary["tables"]), expected, atol=2e-6)
    assert summary["bad"] == {NO_UID: 1}
    assert run(out, "dedup", *where, "--arch", "b32", "--keep", "score", embeddings=None)["ok"] == 17
    storage.remove(f"{folder}/1.npz")
    raised, _ = fails(out, "negcliploss", *where)
    with pytest.raises(ConfigError, match=r"1 of 2 metadata files have no embeddings.*1\.npz.*--download_npz"):
        raise raised or AssertionError("it ended well")


def test_other_vectors_at_equal_sizes_are_other_scores(tmp_path: Path) -> None:
    """A result is of its vectors: the file of the table that they lie beside says nothing of them."""
    pool = small_pool(str(tmp_path))
    with storage.publish(f"{tmp_path}/target.npy") as file:
        np.save(file, random_units(3, 1))
    options = ("--target", f"{tmp_path}/target.npy")
    first, whole = run(pool, "normsim", *options), run(pool, "negcliploss")
    assert run(pool, "normsim", *options)["skipped"] == 3
    url = f"{pool.out}/scores/{SCORE_ID}/b.npz"
    before = storage.stat(url)
    with np.load(url) as arrays:
        # Turned around, both: their cosines stay.
        save_npz(url, img=-arrays["img"], txt=-arrays["txt"])
    assert storage.stat(url).size == before.size
    raised, _ = fails(pool, "normsim", "--embeddings", SCORE_ID, *options)
    assert isinstance(raised, ConfigError)
    assert f"{first['tables']}/b.parquet holds other work: vectors is" in str(raised)
    assert run(pool, "normsim", *options, "--overwrite")["shards"] == 3
    # Where rows are compared with those of all shards, the others' scores change too.
    assert run(pool, "negcliploss")["score_id"] != whole["score_id"]


def test_missing_embeddings_and_tables_are_said_before_any_work(tmp_path: Path) -> None:
    pool = small_pool(str(tmp_path))
    storage.remove(f"{pool.out}/scores/{SCORE_ID}/b.npz")
    raised, _ = fails(pool, "negcliploss", "--embeddings", SCORE_ID)
    assert isinstance(raised, ConfigError)
    assert f"1 of 3 shards of {SCORE_ID} have no embeddings (first: {pool.out}" in str(raised)
    assert "again with --save-embeddings" in str(raised)
    storage.remove(f"{pool.out}/scores/{SCORE_ID}/b.parquet")
    raised, _ = fails(pool, "negcliploss", "--embeddings", SCORE_ID)
    assert "1 of 3 shards have no table" in str(raised)
    assert storage.list_folders(f"{pool.out}/scores") == [f"{pool.out}/scores/{SCORE_ID}"]


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"img": random_units(4, 0)}, "img has 4 rows, but the table of b.tar has 5"),
        ({"images": random_units(5, 0)}, r"has no array 'img'; it has \['images'\]"),
        ({"img": np.ones(5)}, r"img is float64 \[5\], expected floats \[rows, width\]"),
        ({"img": np.asfortranarray(random_units(5, 0))}, "in Fortran order"),
        ({"img": np.array([{}] * 5)}, "img is object"),
        (None, "is not a readable .npz"),
    ],
)
def test_a_shard_that_does_not_fit_is_named_and_the_others_are_scored(
    tmp_path: Path, arrays: dict[str, Any] | None, words: str
) -> None:
    pool = small_pool(str(tmp_path))
    with storage.publish(f"{tmp_path}/target.npy") as file:
        np.save(file, random_units(3, 1))
    url = f"{pool.out}/scores/{SCORE_ID}/b.npz"
    if arrays is None:
        storage.publish_bytes(url, storage.read_bytes(url)[:-100])
    else:
        save_npz(url, **arrays)
    options = ["--embeddings", SCORE_ID, "--target", f"{tmp_path}/target.npy"]
    raised, _ = fails(pool, "normsim", *options, "--score-name", "normsim-x")
    assert isinstance(raised, BadInputError)
    with pytest.raises(BadInputError, match=rf"1 of 3 shards are .*{words}"):
        raise raised
    names = [storage.basename(info.url) for info in storage.list_files(f"{pool.out}/scores/normsim-x")]
    assert names == ["a.parquet", "c.parquet"]
    # Where every row is compared with every other, nothing can be said without the shard.
    raised, _ = fails(pool, "dedup", "--embeddings", SCORE_ID)
    assert isinstance(raised, ConfigError)
    assert "all other shards are compared with this one" in str(raised)


def test_vectors_in_another_order_than_their_table_are_refused(tmp_path: Path) -> None:
    """Two rows of one shard have changed places; nothing but their scores can tell."""
    pool = small_pool(str(tmp_path))
    url = f"{pool.out}/scores/{SCORE_ID}/a.npz"
    with np.load(url) as arrays:
        images, texts = arrays["img"].copy(), arrays["txt"].copy()
    for each in (images, texts):
        each[[2, 7]] = each[[7, 2]]
    save_npz(url, img=images, txt=texts)
    for method in ("negcliploss", "dedup"):
        raised, _ = fails(pool, method, "--embeddings", SCORE_ID)
        with pytest.raises(ConfigError, match=r"a\.npz has other rows than the table of a\.tar, or .* another order"):
            raise raised or AssertionError("it ended well")


@pytest.mark.parametrize("order", ["as written", "sorted", "of another file"])
def test_datacomps_vectors_in_another_order_than_their_metadata_are_refused(tmp_path: Path, order: str) -> None:
    """Their scores need not be our cosines to the last digit, but they go up and down with them."""
    folder = tmp_path / "metadata"
    folder.mkdir()
    uids, image = uids_of(40), random_units(40, 0)
    text = units(0.3 * image + random_units(40, 1))
    scores = 2.5 * (image * text).sum(axis=1) + np.random.default_rng(0).normal(0, 0.005, 40)
    pq.write_table(pa.table({"uid": uids, "clip_l14_similarity_score": scores}), folder / "0.parquet")
    rows = {"as written": np.arange(40), "sorted": np.argsort(uids), "of another file": np.arange(39, -1, -1)}[order]
    save_npz(f"{folder}/0.npz", l14_img=image[rows], l14_txt=text[rows])
    where = ["--from-metadata", str(folder), "--arch", "l14"]
    if order == "as written":
        assert run(f"{tmp_path}/out", "dedup", *where, embeddings=None)["ok"] == 40
        return
    raised, _ = fails(f"{tmp_path}/out", "dedup", *where)
    with pytest.raises(ConfigError, match=r"0\.npz has other rows than the table of 0\.parquet"):
        raise raised or AssertionError("it ended well")


def test_vectors_come_a_block_at_a_time(tmp_path: Path) -> None:
    vectors = np.arange(20_000 * 3, dtype=">f4").reshape(-1, 3)
    save_npz(f"{tmp_path}/x.npz", compressed=True, img=vectors)
    with ExitStack() as stack:
        blocks = list(open_vectors(stack, f"{tmp_path}/x.npz").blocks())
    assert [len(block) for block in blocks] == [8192, 8192, 3616]
    np.testing.assert_array_equal(np.concatenate(blocks), vectors)
    with storage.publish(f"{tmp_path}/x.npy") as file:
        np.save(file, vectors)
    storage.publish_bytes(f"{tmp_path}/cut.npy", storage.read_bytes(f"{tmp_path}/x.npy")[:-8])
    with pytest.raises(BadInputError, match="cut off at row 16,384 of 20,000"), ExitStack() as stack:
        list(open_vectors(stack, f"{tmp_path}/cut.npy").blocks())


@pytest.mark.parametrize(
    ("method", "options", "words"),
    [
        ("negcliploss", [], "needs --embeddings SCORE_ID"),
        ("normsim", ["--embeddings", "x"], "--method normsim needs --target"),
        ("image_based", ["--embeddings", "x", "--target", "y"], "--method image_based needs --centroids"),
        ("negcliploss", ["--embeddings", "x", "--temperature", "0"], "--temperature must be above 0"),
        ("dedup", ["--embeddings", "x", "--eps", "3"], "--eps must be in 0..2"),
        ("dedup", ["--embeddings", "x", "--clusters", "0"], "--clusters must be at least 1"),
    ],
)
def test_wrong_options_are_refused(tmp_path: Path, method: str, options: list[str], words: str) -> None:
    assert words in is_usage_error(str(tmp_path), method, *options)


def test_embeddings_that_are_not_there_are_refused(tmp_path: Path) -> None:
    raised, _ = fails(str(tmp_path), "dedup", "--embeddings", "x")
    assert isinstance(raised, ConfigError)
    assert f"--embeddings x: there are no tables in {tmp_path}/scores/x" in str(raised)


@pytest.mark.parametrize("option", ["--eps", "--target", "--model", "--words"])
def test_another_methods_options_are_usage_errors(tmp_path: Path, option: str) -> None:
    _, printed = fails(str(tmp_path), "negcliploss", "--embeddings", "x", option, "1")
    assert f"{option} has no meaning for --method negcliploss" in printed


def test_two_sources_are_refused(tmp_path: Path) -> None:
    for options, words in (
        (["--embeddings", "x", "--from-metadata", "y"], "only one of them"),
        (["--data-dir", "x", "--from-metadata", "y"], "takes the place of --data-dir x"),
        (["--embeddings", "x", "--arch", "b32"], "--embeddings names its own"),
    ):
        assert words in is_usage_error(str(tmp_path), "dedup", *options)


def test_another_rule_under_the_same_name_is_refused(tmp_path: Path) -> None:
    pool = small_pool(str(tmp_path))
    run(pool, "negcliploss", "--score-name", "mine")
    options = ["--embeddings", SCORE_ID, "--score-name", "mine", "--temperature", "0.07"]
    raised, _ = fails(pool, "negcliploss", *options)
    assert isinstance(raised, ConfigError)
    assert "temperature is 0.01, not 0.07" in str(raised)
    assert run(pool, "negcliploss", "--score-name", "mine", "--temperature", "0.07", "--overwrite")["skipped"] == 0
