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
from datascaler.data.plan.compile_plan import build_plan
from datascaler.data.pool.check_layout import PASSED_OVER
from datascaler.data.pool.list_shards import BEGINS_WITH_DOT, PACKED
from datascaler.data.pool.samples import OF_CAPTION_AND_URL, OF_KEY_AND_SHARD
from datascaler.data.pool.shards import find_shards
from datascaler.data.pool.uids import join_uid, uid_hex
from datascaler.data.read.read_block import BlockReader
from datascaler.data.subset.subset import read_subset
from datascaler.data.tables.index_tables import index_part, read_shard
from datascaler.data.tables.open_pool import open_pool
from datascaler.data.tables.score_table import read_footer, read_table
from datascaler.demo.pairs import draw_evalset
from datascaler.errors import BadInputError, ConfigError
from datascaler.train.loading.tar_stream import usable_samples
from tests.data.img2dataset_pools import (
    as_links,
    as_of_macos,
    expected_uids,
    in_folders,
    read_tar,
    urls_and_pairs,
    write_img2dataset,
    write_tar,
)
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

    for number, (content, label) in enumerate(draw_evalset(1, seed=0)):
        (tmp_path / "images" / f"class {label}").mkdir(parents=True)
        (tmp_path / "images" / f"class {label}" / f"{number}.jpg").write_bytes(content)
    evalset = str(tmp_path / "evalsets" / "shapes")
    written = datascaler("pool", "make-evalset", "--images-dir", str(tmp_path / "images"), "--output-dir", evalset)
    where = ("--data-dir", str(tmp_path / "evalsets"), "--output-dir", str(tmp_path / "results"))
    result = datascaler("eval", "--pretrained", trained["run"], *where)
    assert (list(result["scores"]), result["failed"], result["warnings"]) == (["shapes"], {}, {})
    assert written["images"] == number + 1


@pytest.mark.parametrize("machine", ["macOS", "the hub's cache", "folders", "a list", "a glob", "a glob of folders"])
def test_what_machines_make_of_a_pool_is_the_same_pool(tmp_path: Path, machine: str) -> None:
    pool = write_img2dataset(tmp_path / "pool", SAMPLES)
    folder = tmp_path / "other"
    folder.mkdir()
    passed_over: dict[str, str] = {}
    junk = 0
    if machine == "macOS":
        data_dir = str(as_of_macos(pool, folder))
        passed_over = {f"{folder}/._0000{number}.tar": BEGINS_WITH_DOT for number in range(2)}
        junk = 3 * SAMPLES + 4
    elif machine == "the hub's cache":
        data_dir = str(as_links(pool, folder))
    else:
        in_folders(pool, folder)
        (folder / "part1/images/00001.tar.gz").write_bytes(b"\x1f\x8b")
        passed_over = {f"{folder}/part1/images/00001.tar.gz": PACKED}
        patterns = {"folders": "", "a list": "/{part0,part1}/images", "a glob": "/part?/*/*.tar"}
        data_dir = str(folder) + patterns.get(machine, "/part*/images")
        passed_over = {} if machine == "a glob" else passed_over
    report = datascaler("pool", "check", "--data-dir", data_dir)
    assert (report["shards_found"], report["statuses"], report["passed_over"]) == (2, {"ok": SAMPLES}, passed_over)
    assert report["layout"] == ({PASSED_OVER: junk} if junk else {})
    expected = expected_uids(SAMPLES)
    index = index_part(data_dir, str(tmp_path / "out"))
    assert (index.shards, index.rows, index.ok) == (2, SAMPLES, SAMPLES)
    assert [sample.uid_hex for sample in open_pool(data_dir).samples()] == expected
    plan, coverage = build_plan(find_shards(data_dir), index.tables, None)
    assert (plan.samples, coverage.present) == (SAMPLES, SAMPLES)
    blocks = BlockReader(plan, find_shards(data_dir))
    read = [sample.caption for number in range(2) for sample in blocks.samples(number, 0, SAMPLES // 2)]
    assert read == [pair.caption for _, pair in urls_and_pairs(SAMPLES)]


def test_nothing_of_nothing_is_never_a_success(tmp_path: Path) -> None:
    """Pools with no usable row, by every verb that reads one."""
    bad = tmp_path / "bad"
    write_tar(bad / "0.tar", [("a.jpg", b""), ("a.txt", b"x"), ("b.txt", b"x")])
    write_tar(tmp_path / "empty/0.tar", [])
    model = save_local_dir(str(tmp_path / "model"))
    for pool, rows in ((str(bad), 2), (str(tmp_path / "empty"), 0)):
        out = ("--data-dir", pool, "--output-dir", f"{pool}-out")
        for words, error, message in (
            (("pool", "check", "--data-dir", pool), BadInputError, f"usable samples: 0 of {rows}"),
            (("pool", "index", *out), BadInputError, f"0 of {rows} rows can be used"),
            (("score", *out, "--method", "clip", "--model", model), BadInputError, f"0 of {rows} rows have a score"),
            (("subset", *out[2:], "--method", "clip", "--fraction", "1"), ConfigError, "keeps nothing"),
            (("train", *out, *TRAINING), ConfigError, f"0 of {rows} samples in {pool} can be used"),
            (("train", *out, *TRAINING, "--no-plan", "--seed", "1"), ConfigError, "no sample of this pool can be used"),
        ):
            with pytest.raises(error, match=message):
                datascaler(*words)


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
