"""From score tables to a subset with repeats, its recipe and its plan."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from datascaler import storage
from datascaler.cli.main import cli
from datascaler.data.plan.plan_file import map_plan
from datascaler.data.pool.samples import BAD_IMAGE, OK, Sample
from datascaler.data.pool.shard_list import frozen_shards
from datascaler.data.pool.uids import split_uid, uid_hex
from datascaler.data.subset.subset import read_recipe, read_subset
from datascaler.data.tables.score_table import index_footer, table_url, write_table
from tests.data.made_tables import uids_of

UIDS = uids_of(60)
SCORES = {uid: place / 10 for place, uid in enumerate(UIDS)}
BAD = UIDS[10]
NAN = UIDS[20]


def score_pool(folder: str, shards: Sequence[Sequence[str]]) -> str:
    """A scored pool whose shards hold these uids; returns its output folder."""
    for number in range(len(shards)):
        storage.publish_bytes(f"{folder}/pool/{number}.tar", b"%d" % number * 512)
    out = f"{folder}/out"
    for shard, uids in zip(frozen_shards(out, f"{folder}/pool"), shards, strict=True):
        samples = [
            Sample(row, "", row * 512, 512, split_uid(uid), status=BAD_IMAGE if uid == BAD else OK)
            for row, uid in enumerate(uids)
        ]
        scores = [float("nan") if uid in (BAD, NAN) else SCORES[uid] for uid in uids]
        footer = replace(index_footer(shard), score_id="dfn-x", method="dfn", model="x", weights_hash="w")
        write_table(table_url(f"{out}/scores/dfn-x", shard), footer, samples, scores)
    return out


def sample(out: str, *words: str) -> Result:
    flags = ["--output-dir", out, "--method", "dfn", "--batch-size", "10", "--json"]
    return CliRunner().invoke(cli, ["subset", "sample", *flags, *words])


def drawn(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    return uid_hex(read_subset(json.loads(result.stdout)["files"][0]))


SCS = ("--sampler", "scs", "--draws", "200")


@pytest.mark.parametrize("where", ["local", "s3"])
def test_a_sample_with_its_recipe_and_plan(request: pytest.FixtureRequest, where: str) -> None:
    folder = str(request.getfixturevalue("s3_url" if where == "s3" else "tmp_path"))
    out = score_pool(folder, [UIDS[:25], UIDS[25:]])
    result = sample(out, *SCS)
    uids = drawn(result)
    base = f"{out}/subsets/dfn-scs-n200-s0"
    found = json.loads(result.stdout)
    assert (found["files"], found["plan"]) == ([f"{base}.npy"], f"{base}.plan")
    assert found["coverage"] == "200 of 200 uids present in this pool"
    counts = Counter(uids)
    assert not {BAD, NAN} & set(counts)
    assert sum(counts[uid] for uid in UIDS[30:]) > 1.5 * sum(counts[uid] for uid in UIDS[:30])
    recipe = read_recipe(found["files"][0])
    assert recipe is not None
    assert (recipe["method"], recipe["penalty"], recipe["max_repeats"]) == ("dfn-scs-n200-s0", 0.15, None)
    assert (recipe["kept_uids"], recipe["distinct_uids"], recipe["usable_uids"]) == (200, len(counts), 58)
    assert recipe["most_repeated"] == max(counts.values())
    with storage.local_copy(f"{base}.plan") as path:
        plan = map_plan(path)
        planned = Counter(UIDS[row] for row in plan.kept_rows(0, 0, 25).tolist())
        planned.update(UIDS[25 + row] for row in plan.kept_rows(1, 0, 35).tolist())
    assert planned == counts


def test_the_sample_does_not_depend_on_how_the_pool_is_cut(tmp_path: Path) -> None:
    whole = score_pool(f"{tmp_path}/a", [UIDS])
    pieces = score_pool(f"{tmp_path}/b", [UIDS[40:], [], UIDS[:7], UIDS[7:40]])
    assert drawn(sample(whole, *SCS)) == drawn(sample(pieces, *SCS))
    assert drawn(sample(whole, *SCS, "--seed", "1")) != drawn(sample(pieces, *SCS))


def test_a_uid_in_several_rows_has_one_chance(tmp_path: Path) -> None:
    once = score_pool(f"{tmp_path}/a", [UIDS[:30], UIDS[30:]])
    often = score_pool(f"{tmp_path}/b", [[*UIDS[:30], UIDS[3], UIDS[29]], [UIDS[29], *UIDS[30:], *UIDS[30:40]]])
    hard = ("--sampler", "hcs", "--draws", "150", "--max-repeats", "3")
    assert drawn(sample(once, *hard)) == drawn(sample(often, *hard))
    assert max(Counter(drawn(sample(often, *hard))).values()) <= 3


def test_another_sample_of_the_same_name_is_kept(tmp_path: Path) -> None:
    out = score_pool(str(tmp_path), [UIDS])
    first = drawn(sample(out, *SCS))
    assert drawn(sample(out, *SCS)) == first
    refused = sample(out, *SCS, "--temperature", "0.1")
    assert "dfn-scs-n200-s0.json describes another subset" in str(refused.exception)
    assert drawn(sample(out, *SCS, "--temperature", "0.1", "--overwrite")) != first


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--sampler", "scs"), "Missing option '--draws'"),
        (("--sampler", "hcs", "--draws", "10"), "--sampler hcs takes --max-repeats, and no --penalty"),
        ((*SCS, "--max-repeats", "2"), "--max-repeats belongs to --sampler hcs"),
        (("--sampler", "hcs", "--draws", "10", "--max-repeats", "2", "--penalty", "1"), "and no --penalty"),
    ],
)
def test_usage_errors(tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    result = sample(str(tmp_path), *words)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_pool_that_is_not_scored_to_the_end_is_refused(tmp_path: Path) -> None:
    out = score_pool(str(tmp_path), [UIDS[:30], UIDS[30:]])
    (tmp_path / "out/scores/dfn-x/1.parquet").unlink()
    assert "not every shard has scores in" in str(sample(out, *SCS).exception)
    assert "needs as many usable uids, and there are" in str(
        sample(score_pool(f"{tmp_path}/b", [UIDS[:5]]), *SCS).exception
    )
