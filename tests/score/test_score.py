"""Scoring, with a real CLIP: right numbers, a row for every sample, and work that can be shared and stopped."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from datascaler import storage
from datascaler.data.pool.samples import DAMAGED_TAR, NOT_FINITE, OK, Sample
from datascaler.data.pool.shard_list import verified_shards
from datascaler.data.pool.shards import Shard
from datascaler.data.pool.uids import join_uid, uid_of
from datascaler.data.select.score_source import one_source
from datascaler.data.tables.score_table import read_footer, read_table, write_table
from datascaler.errors import BadInputError, ConfigError, DatascalerError
from datascaler.models.create_clip import weights_hash
from datascaler.models.load import load_clip
from datascaler.score import worker_shards as part_module
from datascaler.score.pipeline.decoders import decoders
from datascaler.score.pipeline.prepare_samples import preparation_for
from datascaler.score.pipeline.score_batches import score_samples
from datascaler.score.score_id import score_id_of
from datascaler.score.score_pool import score_pool
from datascaler.score.scorer import Work
from datascaler.score.verify_scores import verify_scores
from datascaler.spec.score import ScorePart, ScoreSpec, TextOptions, default_model
from datascaler.spec.score_captions import CaptionSpec
from tests.data.tars import shard_of
from tests.score.pools import (
    BAD,
    DAMAGED,
    GOOD,
    SHARDS,
    content_in,
    good,
    make_pool,
    only_folder,
    plain_scores,
    spec_of,
    tables_in,
)
from tests.tiny_clip import save_local_dir, tiny_clip_model, tiny_loaded_clip

COLUMNS = ["uid_high", "uid_low", "key", "offset", "length", "status", "score"]


def assert_right_scores(tables: str, local_dir: str) -> None:
    expected = plain_scores(local_dir, [number for rows in GOOD.values() for number in rows.values()])
    for shard, good_rows in GOOD.items():
        table, _ = read_table(f"{tables}/shards/{shard}.parquet", COLUMNS)
        scores = table["score"].to_pylist()
        for row, (value, state) in enumerate(zip(scores, table["status"].to_pylist(), strict=True)):
            if row in good_rows:
                assert state == OK
                assert value == pytest.approx(expected[good_rows[row]], abs=1e-5)
            else:
                assert math.isnan(value)
                assert state != OK


def test_scores_are_those_of_a_plain_loop(tmp_path: Path, pool: str, local_dir: str) -> None:
    summary = score_pool(spec_of(pool, tmp_path / "out", local_dir))
    assert_right_scores(summary.tables, local_dir)
    assert (summary.shards, summary.skipped, summary.rows, summary.ok) == (5, 0, 21, 15)
    assert summary.bad == dict.fromkeys(BAD, 1)
    clip = load_clip(local_dir, None)
    assert summary.score_id == f"clip-tiny-{clip.weights_hash[:8]}"
    footer = read_footer(f"{summary.tables}/shards/00000001.parquet")
    assert (footer.shard, footer.method, footer.rows, footer.ok) == ("shards/00000001.tar", "clip", 8, 2)
    assert (footer.size, footer.weights_hash) == (len(SHARDS["00000001"]), clip.weights_hash)


def test_images_made_small_another_way_are_other_tables(tmp_path: Path, pool: str, local_dir: str) -> None:
    spec = spec_of(pool, tmp_path / "out", local_dir)
    summary = score_pool(spec)
    with pytest.raises(ConfigError, match="holds other work: preprocess_hash is"):
        score_pool(replace(spec, decode="fast"))
    fast = score_pool(replace(spec, decode="fast", score_name="fast"))
    name = "shards/00000000.parquet"
    (exact, theirs), (near, ours) = (read_table(f"{each.tables}/{name}", COLUMNS) for each in (summary, fast))
    assert near["score"].to_numpy() == pytest.approx(exact["score"].to_numpy(), abs=1e-3, nan_ok=True)
    assert (theirs.weights_hash, theirs.precision) == (ours.weights_hash, ours.precision)
    assert theirs.preprocess_hash != ours.preprocess_hash


def test_an_image_tower_in_16_bits_says_so(tmp_path: Path, pool: str, local_dir: str) -> None:
    exact = score_pool(spec_of(pool, tmp_path / "out", local_dir))
    near = score_pool(spec_of(pool, tmp_path / "near", local_dir, precision="bf16"))
    columns = []
    for summary, precision in ((exact, "float32"), (near, "bfloat16 images")):
        table, footer = read_table(f"{summary.tables}/shards/00000000.parquet", COLUMNS)
        columns.append(table["score"].to_numpy())
        assert footer.precision == precision
    assert (exact.score_id, exact.ok) == (near.score_id, near.ok)
    assert 0 < np.nanmax(np.abs(columns[0] - columns[1])) < 2e-2
    verified = verify_scores(spec_of(pool, tmp_path / "near", local_dir, precision="bf16"), 5)
    assert verified.rows == 5


def test_every_bad_sample_is_a_row_with_its_reason(tmp_path: Path, pool: str, local_dir: str) -> None:
    summary = score_pool(spec_of(pool, tmp_path / "out", local_dir))
    table, _ = read_table(f"{summary.tables}/shards/00000001.parquet", COLUMNS)
    assert table["status"].to_pylist() == [OK, *BAD, OK]
    assert np.isnan(table["score"].to_numpy()).tolist() == [False, *([True] * len(BAD)), False]
    assert table["key"].to_pylist() == [f"{row:012d}" for row in range(8)]
    uids = [
        join_uid(*pair) for pair in zip(*(table[name].to_pylist() for name in ("uid_high", "uid_low")), strict=True)
    ]
    assert uids[0] == uid_of("a picture of thing number 10", "10")
    assert uids[3] == uid_of("a picture of thing number 52", "52")
    assert table["offset"].to_pylist() == np.cumsum([0, *table["length"].to_pylist()])[:-1].tolist()
    assert summary.bad_examples == {
        state: f"shards/00000001.tar, sample {row:012d}" for row, state in enumerate(BAD, start=1)
    }
    empty, footer = read_table(f"{summary.tables}/shards/00000002.parquet", COLUMNS)
    assert (empty.num_rows, footer.rows, footer.ok) == (0, 0, 0)


def test_a_damaged_tar_is_scored_up_to_the_damage(tmp_path: Path, local_dir: str) -> None:
    pool = make_pool(f"{tmp_path}/pool", {"0": DAMAGED, "1": SHARDS["00000003"]})
    summary = score_pool(spec_of(pool, tmp_path / "out", local_dir))
    table, _ = read_table(f"{summary.tables}/shards/0.parquet", COLUMNS)
    assert table["status"].to_pylist()[0] == OK
    assert summary.bad == {DAMAGED_TAR: 1}


def test_pool_weights_and_output_on_a_real_s3_server(s3_url: str, local_dir: str) -> None:
    pool = make_pool(f"{s3_url}/pool")
    weights = save_local_dir(f"{s3_url}/weights/tiny")
    summary = score_pool(spec_of(pool, f"{s3_url}/out", weights))
    assert summary.tables.startswith(f"{s3_url}/out/scores/clip-tiny-")
    assert_right_scores(summary.tables, local_dir)
    again = score_pool(spec_of(pool, f"{s3_url}/out", weights))
    assert (again.skipped, again.shards, again.rows) == (5, 5, summary.rows)


def test_a_score_that_is_not_finite_is_a_bad_row() -> None:
    model = tiny_clip_model()
    with torch.no_grad():
        model.visual.proj.fill_(math.nan)  # type: ignore[union-attr, operator]
    clip = replace(tiny_loaded_clip(), model=model)
    rows = [Sample(row=row, key="", offset=0, length=0, image=good(row)["png"], caption="x") for row in range(5)]
    with decoders(preparation_for(clip), 2, in_processes=False) as workers:
        batches = list(score_samples(rows, clip, 2, workers))
    assert [row.status for batch, _ in batches for row in batch] == [NOT_FINITE] * 5
    assert all(math.isnan(value) for _, values in batches for value in values)
    assert all(row.image == b"" for row in rows)


@pytest.mark.parametrize("count", [2, 3, 7])
def test_workers_that_share_the_work_make_the_same_tables(
    tmp_path: Path, pool: str, local_dir: str, count: int
) -> None:
    whole = score_pool(spec_of(pool, tmp_path / "whole", local_dir))
    parts = [score_pool(spec_of(pool, tmp_path / "parts", local_dir, index=i, count=count)) for i in range(count)]
    assert content_in(parts[0]) == content_in(whole)
    assert sum(part.shards for part in parts) == 5
    assert sum(part.rows for part in parts) == whole.rows
    assert all(part.skipped == 0 for part in parts)


def test_finished_shards_are_skipped_whatever_the_grouping(tmp_path: Path, pool: str, local_dir: str) -> None:
    first = score_pool(spec_of(pool, tmp_path, local_dir, index=1, count=2))
    assert (first.shards, first.skipped) == (2, 0)
    before = {info.url: info for info in storage.list_files(first.tables, ".parquet", recursive=True)}
    rest = score_pool(spec_of(pool, tmp_path, local_dir))
    assert (rest.shards, rest.skipped) == (5, 2)
    assert [score_pool(spec_of(pool, tmp_path, local_dir, index=i, count=3)).skipped for i in range(3)] == [2, 2, 1]
    after = {info.url: info for info in storage.list_files(first.tables, ".parquet", recursive=True)}
    assert all(after[url] == info for url, info in before.items())
    assert score_pool(spec_of(pool, tmp_path, local_dir, overwrite=True)).skipped == 0


def test_the_pool_may_grow_after_the_list_was_frozen(tmp_path: Path, pool: str, local_dir: str) -> None:
    score_pool(spec_of(pool, tmp_path / "out", local_dir, index=0, count=2))
    make_pool(pool, {"00000000a": SHARDS["00000003"]})
    assert score_pool(spec_of(pool, tmp_path / "out", local_dir)).shards == 5


def test_a_shard_that_was_replaced_is_named(tmp_path: Path, pool: str, local_dir: str) -> None:
    score_pool(spec_of(pool, tmp_path / "out", local_dir, index=0, count=5))
    make_pool(pool, {"00000004": shard_of([good(1)])})
    for options in ({}, {"index": 4, "count": 5}):
        with pytest.raises(ConfigError, match=r"shards/00000004\.tar has changed.*use a new --output-dir"):
            score_pool(spec_of(pool, tmp_path / "out", local_dir, **options))
    assert list(tables_in(only_folder(tmp_path / "out"))) == ["shards/00000000.parquet"]
    assert score_pool(spec_of(pool, tmp_path / "out", local_dir, index=3, count=5)).shards == 1


def test_a_shard_that_is_replaced_during_the_run_is_named(
    tmp_path: Path, pool: str, local_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def then_replace(output_dir: str, shards: list[Shard], *source: Any) -> list[Shard]:
        verified = verified_shards(output_dir, shards, *source)
        make_pool(pool, {"00000004": shard_of([good(1)])})
        return verified

    monkeypatch.setattr(part_module, "verified_shards", then_replace)
    with pytest.raises(ConfigError, match=r"shards/00000004\.tar has changed"):
        score_pool(spec_of(pool, tmp_path / "out", local_dir))
    assert len(tables_in(only_folder(tmp_path / "out"))) == 4


def test_a_shard_that_is_gone_is_reported_after_the_others_are_done(tmp_path: Path, pool: str, local_dir: str) -> None:
    score_pool(spec_of(pool, tmp_path / "out", local_dir, index=4, count=5))
    storage.remove(f"{pool}/shards/00000001.tar")
    with pytest.raises(BadInputError, match=r"1 of 5 shards are gone.*00000001\.tar: not found") as caught:
        score_pool(spec_of(pool, tmp_path / "out", local_dir))
    assert caught.value.exit_code == 65
    assert len(tables_in(only_folder(tmp_path / "out"))) == 4


def test_a_damaged_table_costs_no_other_shard(tmp_path: Path, pool: str, local_dir: str) -> None:
    first = score_pool(spec_of(pool, tmp_path / "out", local_dir))
    for name, content in (("00000001", b""), ("00000003", b"PAR1 something else PAR1")):
        storage.publish_bytes(f"{first.tables}/shards/{name}.parquet", content)
    storage.remove(f"{first.tables}/shards/00000004.parquet")
    with pytest.raises(BadInputError, match=r"2 of 5 shards are gone or damaged, the others are scored") as caught:
        score_pool(spec_of(pool, tmp_path / "out", local_dir))
    summary = caught.value.finished
    assert (summary.shards, summary.skipped) == (3, 2)
    assert ["remove the file" in line for line in summary.unreadable] == [True, True]
    assert storage.exists(f"{first.tables}/shards/00000004.parquet")


def test_another_model_under_the_same_name_is_refused(tmp_path: Path, pool: str, local_dir: str) -> None:
    other = save_local_dir(f"{tmp_path}/other/tiny", seed=1)
    first = score_pool(spec_of(pool, tmp_path / "out", local_dir, score_name="mine"))
    before = tables_in(first)
    with pytest.raises(ConfigError, match=r"scores/mine/shards/00000000\.parquet holds other work: .* or --overwrite"):
        score_pool(spec_of(pool, tmp_path / "out", other, score_name="mine"))
    assert tables_in(first) == before
    renamed = score_pool(spec_of(pool, tmp_path / "out", other))
    assert renamed.tables != first.tables
    replaced = score_pool(spec_of(pool, tmp_path / "out", other, score_name="mine", overwrite=True))
    assert (replaced.shards, replaced.skipped) == (5, 0)
    assert read_footer(f"{first.tables}/shards/00000000.parquet").weights_hash == weights_hash(tiny_clip_model(1))


def test_a_scorer_that_cannot_be_had_leaves_no_list_of_shards(tmp_path: Path, pool: str) -> None:
    (tmp_path / "empty").touch()
    common: dict[str, Any] = {"data_dir": pool, "output_dir": f"{tmp_path}/out"}
    nothing: tuple[ScorePart, ...] = (
        ScoreSpec(**common, method="clip", model="no such model"),
        ScoreSpec(**common, method="boxes", text=TextOptions(detector=f"{tmp_path}/empty")),
        CaptionSpec(**common, method="metaclip", entries=f"{tmp_path}/empty"),
        CaptionSpec(**common, method="english", language_model=f"{tmp_path}/empty"),
    )
    for spec in nothing:
        with pytest.raises(DatascalerError):
            score_pool(spec)
        assert storage.list_files(f"{tmp_path}/out", recursive=True) == [], spec.method
    with pytest.raises(ConfigError, match=r"no shards\.parquet in .*: run `datascaler score`"):
        verify_scores(spec_of(pool, tmp_path / "out", "any"), 5)
    assert storage.list_files(f"{tmp_path}/out", recursive=True) == []


def test_what_is_made_with_an_unfinished_runs_weights_says_so(tmp_path: Path) -> None:
    clip = replace(tiny_loaded_clip(), unfinished="736 of 9,600 samples seen")
    for loaded, said in ((clip, {"unfinished": clip.unfinished}), (tiny_loaded_clip(), {})):
        out = tmp_path / str(len(said))
        shard = Shard(url="a.tar", name="a.tar", size=1, etag="e")
        folder = f"{out}/scores/clip-tiny"
        footer = Work("clip", "clip-tiny", loaded, None).footer(shard)
        written = write_table(f"{folder}/a.parquet", footer, [Sample(row=0, key="k", offset=0, length=0)], [0.5])
        assert read_footer(f"{folder}/a.parquet").unfinished == written.unfinished == said.get("unfinished", "")
        recipe = one_source(str(out), [shard], "clip", None, 0).recipe
        assert {name: recipe[name] for name in recipe if name == "unfinished"} == said
    # Scores of the same weights agree, whoever knows how far their run is.
    assert footer.difference(Work("clip", "clip-tiny", clip, None).footer(shard)) == ""


def test_a_pool_in_a_bucket_that_is_not_there(s3_url: str, tmp_path: Path, local_dir: str) -> None:
    with pytest.raises(DatascalerError, match="s3://no-such-bucket/pool"):
        score_pool(spec_of("s3://no-such-bucket/pool", tmp_path / "out", local_dir))
    assert storage.list_files(f"{tmp_path}/out", recursive=True) == []
    with pytest.raises(ConfigError, match=r"no \.tar files in .*/empty"):
        score_pool(spec_of(f"{s3_url}/empty", tmp_path / "out", local_dir))


def test_the_names_of_tables_come_from_the_end_of_the_models_name() -> None:
    clip = tiny_loaded_clip()
    for arch, part in (
        ("ViT-L-14", "ViT-L-14"),
        ("hf-hub:apple/DFN-public", "DFN-public"),
        ("local-dir:/weights/dfn/", "dfn"),
        ("local-dir:dfn", "dfn"),
        ("local-dir:s3://b/my weights", "my_weights"),
    ):
        assert score_id_of("clip", replace(clip, arch=arch)) == f"clip-{part}-{clip.weights_hash[:8]}"


def test_each_method_has_its_own_model() -> None:
    assert default_model("clip", "l14", None, None) == ("ViT-L-14", "openai")
    assert default_model("CLIP", "B32", None, None) == ("ViT-B-32", "openai")
    assert default_model("dfn", "l14", None, None) == ("hf-hub:apple/DFN-public", None)
    assert default_model("dfn", "l14", "ViT-B-16", "openai") == ("ViT-B-16", "openai")
    assert default_model("dfn", "l14", None, "s3://b/run") == (None, "s3://b/run")
    with pytest.raises(ConfigError, match="unknown arch 'h14'; known: l14, b32"):
        default_model("clip", "h14", None, None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"index": 3, "count": 3}, r"index must be in 0\.\.2 \(count is 3\), got 3"),
        ({"index": -1}, r"index must be in 0\.\.0"),
        ({"count": 0}, "count must be at least 1, got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"num_workers": 0}, "num_workers must be at least 1, got 0"),
        ({"method": "random"}, "unknown method 'random'; known: clip, dfn"),
    ],
)
def test_refused_specs(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        spec_of("pool", "out", "x", **options)
