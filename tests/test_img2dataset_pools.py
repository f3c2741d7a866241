"""A pool that img2dataset made, without a uid anywhere (CC12M's layout), goes through the whole line, whatever people's
machines have made of its files.
"""

import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from datascaler.cli.main import cli
from datascaler.data.pool.samples import OF_CAPTION_AND_URL, OF_KEY_AND_SHARD
from datascaler.data.pool.shards import find_shards
from datascaler.data.pool.uids import join_uid, uid_hex
from datascaler.data.subset.subset import read_subset
from datascaler.data.tables.index_tables import index_part, read_shard
from datascaler.data.tables.open_pool import open_pool
from datascaler.data.tables.score_table import read_footer, read_table
from datascaler.train.loading.tar_stream import usable_samples
from tests.data.img2dataset_pools import expected_uids, read_tar, write_img2dataset, write_tar
from tests.tiny_clip import save_local_dir

SAMPLES = 24
TRAINING = (
    *("--scale", "debug", "--model-arch", "ViT-Mini-8-48", "--width-mult", "0.25", "--batch-size", "6"),
    *("--train-num-samples", "12", "--warmup", "1", "--num-workers", "0"),
)


def datascaler(*words: str) -> dict[str, Any]:
    """What the command prints with --json."""
    printed = io.StringIO()
    with redirect_stdout(printed):
        cli.main([*words, "--json"], prog_name="datascaler", standalone_mode=False)
    result: dict[str, Any] = json.loads(printed.getvalue())
    return result


def test_the_whole_line_takes_a_pool_without_uids(tmp_path: Path) -> None:
    pool, scored, runs = (
        str(write_img2dataset(tmp_path / "cc12m", SAMPLES)),
        str(tmp_path / "out"),
        str(tmp_path / "runs"),
    )
    model = save_local_dir(str(tmp_path / "model"))
    report = datascaler("pool", "check", "--data-dir", pool)
    assert (report["statuses"], report["made_uids"]) == ({"ok": SAMPLES}, {OF_CAPTION_AND_URL: SAMPLES})
    summary = datascaler("score", "--data-dir", pool, "--output-dir", scored, "--method", "clip", "--model", model)
    assert (summary["rows"], summary["ok"], summary["bad"]) == (SAMPLES, SAMPLES, {})
    for table in Path(scored).glob("scores/*/*.parquet"):
        assert read_footer(str(table)).made_uids == {OF_CAPTION_AND_URL: SAMPLES // 2}
    made = datascaler("subset", "--output-dir", scored, "--method", "clip", "--fraction", "0.5")
    assert set(uid_hex(read_subset(made["files"][0]))) < set(expected_uids(SAMPLES))
    assert made["coverage"] == "12 of 12 uids present in this pool"
    given = ("train", "--data-dir", pool, "--output-dir", runs, *TRAINING)
    for more in (("--subset-file", made["files"][0]), (), ("--no-plan", "--seed", "1")):
        trained = datascaler(*given, *more)
        assert (trained["samples_seen"], trained["substituted"]) == (12, 0)


@pytest.mark.parametrize("rule", [OF_CAPTION_AND_URL, OF_KEY_AND_SHARD])
def test_all_readers_agree_on_uids_that_are_made(tmp_path: Path, rule: str) -> None:
    """The stream and the plan of training, the tables, the library, and a copy of the samples in tars of their own."""
    pool = write_img2dataset(tmp_path / "pool", SAMPLES)
    if rule == OF_KEY_AND_SHARD:
        for path in pool.glob("*.tar"):
            write_tar(path, [(name, content) for name, content in read_tar(path) if not name.endswith("json")])
    shards = find_shards(str(pool))
    index = index_part(str(pool), str(tmp_path / "out"))
    tables = [read_table(f"{index.tables}/{name}.parquet", ("uid_high", "uid_low"))[0] for name in ("00000", "00001")]
    of_tables = [join_uid(*row.values()) for table in tables for row in table.to_pylist()]
    assert len(set(of_tables)) == SAMPLES
    for found in (
        [sample.uid_hex for shard in shards for sample in read_shard(shard)],
        [sample.uid_hex for shard in shards for sample in usable_samples(shard)],
        [sample.uid_hex for sample in open_pool(str(pool)).samples()],
    ):
        assert found == of_tables
    assert rule == OF_KEY_AND_SHARD or of_tables == expected_uids(SAMPLES)

    (tmp_path / "half.txt").write_text("\n".join(sorted(of_tables)[::2]))
    made = ("--data-dir", str(pool), "--output-dir", str(tmp_path / "copy"))
    assert datascaler("subset", "materialize", str(tmp_path / "half.txt"), *made)["samples"] == SAMPLES // 2
    copied = [sample.uid_hex for sample in open_pool(str(tmp_path / "copy")).samples()]
    assert sorted(copied) == sorted(of_tables)[::2]
