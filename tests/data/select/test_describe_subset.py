"""What `subset show` says: counts, recipes, overlap, coverage, and how much each shard keeps."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from datascaler import storage
from datascaler.cli.main import cli
from datascaler.data.plan.compile_plan import build_plan
from datascaler.data.plan.plan_file import write_plan
from datascaler.data.pool.samples import BAD_IMAGE, OK, Sample
from datascaler.data.pool.shard_list import frozen_shards
from datascaler.data.pool.shards import find_shards, pool_digest
from datascaler.data.pool.uids import split_uid, uid_array
from datascaler.data.select.describe_subset import describe_plan, overlaps
from datascaler.data.subset.subset import read_subset, subset_digest, write_subset
from datascaler.data.tables.score_table import index_footer, table_url, write_table
from tests.data.made_tables import uids_of

UIDS = sorted(uids_of(40))
ABSENT = uids_of(5, seed=1)
SHARDS = {"00000000": UIDS[:20], "00000001": [], "00000002": UIDS[20:30], "00000003": UIDS[30:]}
DEAD = UIDS[25]


def show(*words: str) -> Result:
    return CliRunner().invoke(cli, ["subset", "show", *words])


def shown(*words: str) -> Any:
    result = show(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def save(path: Path, uids: list[str]) -> str:
    np.save(path, uid_array(sorted(uids)))
    return str(path)


def make_pool(folder: str) -> str:
    for name in SHARDS:
        storage.publish_bytes(f"{folder}/{name}.tar", name.encode() * 8192)
    return folder


def index_into(out: str, folder: str, pool: str) -> None:
    for shard in frozen_shards(out, pool):
        uids = SHARDS[shard.name.removesuffix(".tar")]
        samples = [
            Sample(row, "", row * 512, 512, split_uid(uid), status=BAD_IMAGE if uid == DEAD else OK)
            for row, uid in enumerate(uids)
        ]
        write_table(table_url(folder, shard), index_footer(shard), samples)


def kept_of(report: Any) -> dict[str, tuple[int, int]]:
    return {each["shard"].removesuffix(".tar"): (each["kept"], each["rows"]) for each in report["pool"]["shards"]}


WANTED = [*UIDS[5:28], UIDS[6], UIDS[6], DEAD, *ABSENT]
KEPT = {"00000000": (15, 20), "00000001": (0, 0), "00000002": (7, 10), "00000003": (0, 10)}


def test_counts_of_a_file_and_its_recipe(tmp_path: Path) -> None:
    write_subset(f"{tmp_path}/a", uid_array(sorted(WANTED)), {"method": "clip", "rule": "the best"}, ["npy"])
    (report,) = shown(f"{tmp_path}/a.npy")["subsets"]
    assert report["recipe"]["rule"] == "the best"
    del report["recipe"]
    assert report == {
        "subset": f"{tmp_path}/a.npy", "format": "npy", "was_sorted": True, "uids": 31, "distinct": 28,
        "most_repeated": 3, "digest": subset_digest(uid_array(sorted(WANTED))), "recipe_fits": True, "pool": None,
    }  # fmt: skip
    np.save(tmp_path / "a.npy", uid_array(UIDS[::-1]))
    result = show(f"{tmp_path}/a.npy")
    assert "was sorted     no\n" in result.stdout
    assert "the best" not in result.stdout
    assert "a.npy: the recipe beside it is of other uids" in result.stderr


def test_overlap_is_of_distinct_uids(tmp_path: Path) -> None:
    first = save(tmp_path / "a.npy", UIDS[:20] + UIDS[:3])
    second, third = save(tmp_path / "b.npy", UIDS[10:40]), save(tmp_path / "c.npy", UIDS[:20])
    found = shown(first, second, third)["overlaps"]
    assert found[0] == {
        "first": first, "second": second, "common": 10, "of_first": 0.5, "of_second": 10 / 30, "jaccard": 10 / 40,
    }  # fmt: skip
    assert [(pair["common"], pair["jaccard"]) for pair in found[1:]] == [(20, 1.0), (10, 0.25)]
    table = show(first, second).stdout.splitlines()[-2:]
    assert table[0].split() == ["first", "second", "common", "of", "first", "of", "second", "jaccard"]
    assert table[1].split() == [first, second, "10", "0.5", "0.3333", "0.25"]
    assert overlaps([first], [read_subset(first)]) == []


def test_coverage_from_scores_an_index_logs_or_a_plan(tmp_path: Path) -> None:
    wanted = save(tmp_path / "a.npy", WANTED)
    for number, folder in enumerate(("scores/clip-x", "index/{}")):
        pool, out = make_pool(f"{tmp_path}/pool{number}"), f"{tmp_path}/out{number}"
        index_into(out, f"{out}/{folder.format(pool_digest(find_shards(pool)))}", pool)
        (report,) = shown(wanted, "--output-dir", out)["subsets"]
        assert kept_of(report) == KEPT
        # Of the 31: the dead row is wanted twice, and five uids are not there.
        assert (report["pool"]["wanted"], report["pool"]["present"]) == (31, 24)
        assert (report["pool"]["kept_rows"], report["pool"]["rows"]) == (22, 40)

    plan, _ = build_plan(find_shards(pool), f"{out}/index/{pool_digest(find_shards(pool))}", read_subset(wanted))
    write_plan(f"{tmp_path}/a.plan", plan)
    for words in (["--plan", f"{tmp_path}/a.plan"], ["--data-dir", pool]):
        assert kept_of(shown(wanted, *words)["subsets"][0]) == KEPT

    logged = make_pool(f"{tmp_path}/logged")
    for name, uids in SHARDS.items():
        status = ["failed_to_download" if uid == DEAD else "success" for uid in uids]
        columns = {"uid": pa.array(uids, pa.string()), "status": pa.array(status, pa.string())}
        pq.write_table(pa.table(columns), f"{logged}/{name}.parquet")
    # A plan beside the subset would fit this copy of the pool.
    copied = save(tmp_path / "b.npy", WANTED)
    (report,) = shown(copied, "--data-dir", logged)["subsets"]
    assert kept_of(report) == KEPT | {"00000002": (7, 9)}
    assert not list(Path(logged).glob("*.plan"))


def test_the_tables_that_a_recipe_names_are_enough(tmp_path: Path) -> None:
    pool = make_pool(f"{tmp_path}/pool")
    index_into(f"{tmp_path}/out", f"{tmp_path}/out/scores/clip-x", pool)
    recipe = {"tables": f"{tmp_path}/out/scores/clip-x", "pool_digest": pool_digest(find_shards(pool))}
    write_subset(f"{tmp_path}/a", uid_array(sorted(WANTED)), recipe, ["txt"])
    assert kept_of(shown(f"{tmp_path}/a.txt", "--data-dir", pool)["subsets"][0]) == KEPT


def test_for_people(tmp_path: Path) -> None:
    wanted = save(tmp_path / "a.npy", WANTED)
    pool = make_pool(f"{tmp_path}/pool")
    index_into(f"{tmp_path}/out", f"{tmp_path}/out/scores/clip-x", pool)
    lines = show(wanted, "--output-dir", f"{tmp_path}/out").stdout.splitlines()
    assert "coverage       24 of 31 uids present in this pool (77.4%)" in lines
    assert "kept rows      22 of 40 (55.0%)" in lines
    assert "kept per shard  0.00% (00000003.tar), median 70.00%, 75.00% (00000000.tar)" in lines
    bars = [line for line in lines if " to " in line]
    assert len(bars) == 10
    assert bars[0] == f"    0.00% to   7.50%          1  {'#' * 20}"
    assert bars[-1] == f"   67.50% to  75.00%          2  {'#' * 40}"


def test_a_pool_of_which_nothing_is_known(tmp_path: Path) -> None:
    wanted = save(tmp_path / "a.npy", UIDS)
    pool = make_pool(f"{tmp_path}/pool")
    result = show(wanted, "--data-dir", pool)
    assert f"nothing is known yet of the samples in {pool}: run `datascaler pool index`" in str(result.exception)
    frozen_shards(f"{tmp_path}/out", pool)
    assert "nothing is known yet of" in str(show(wanted, "--output-dir", f"{tmp_path}/out").exception)
    assert show(wanted, "--data-dir", pool, "--plan", "x").exit_code == 2
    assert show().exit_code == 2


def test_a_plan_of_another_subset_is_refused(tmp_path: Path) -> None:
    pool = make_pool(f"{tmp_path}/pool")
    index_into(f"{tmp_path}/out", f"{tmp_path}/tables", pool)
    plan, _ = build_plan(find_shards(pool), f"{tmp_path}/tables", uid_array(UIDS))
    write_plan(f"{tmp_path}/a.plan", plan)
    other = save(tmp_path / "b.npy", UIDS[1:])
    result = show(other, "--plan", f"{tmp_path}/a.plan")
    assert "a.plan was made for another subset than" in str(result.exception)


@pytest.mark.parametrize("rows", [[0, 0], [8, 0, 9], [0, 3, 0]])
def test_kept_rows_where_shards_are_empty(tmp_path: Path, rows: list[int]) -> None:
    pool = f"{tmp_path}/pool"
    for number in range(len(rows)):
        storage.publish_bytes(f"{pool}/{number}.tar", b"%d" % number)
    uids = uids_of(sum(rows) + 1)
    taken = 0
    for shard, count in zip(find_shards(pool), rows, strict=True):
        samples = [
            Sample(row, "", row * 512, 512, split_uid(uid)) for row, uid in enumerate(uids[taken : taken + count])
        ]
        write_table(table_url(f"{tmp_path}/tables", shard), index_footer(shard), samples)
        taken += count
    report = describe_plan(build_plan(find_shards(pool), f"{tmp_path}/tables", uid_array(sorted(uids)))[0])
    assert [each.kept for each in report.shards] == rows
    assert (report.present, report.wanted) == (sum(rows), sum(rows) + 1)
