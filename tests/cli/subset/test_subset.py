"""The command `datascaler subset`: which rows by whose scores, on a real scored folder."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from datascaler.cli.main import cli
from datascaler.data.pool.uids import uid_hex
from datascaler.data.select import select_subset
from datascaler.data.subset.subset import read_recipe, read_subset
from tests.data.scored_folder import UIDS, score_pool

CLIP, DFN = "clip-x-00000000", "dfn-y-11111111"


def run(out: str, *words: str) -> Result:
    return CliRunner().invoke(cli, ["subset", "--output-dir", out, *words])


def made(out: str, *words: str) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """What is printed, the recipe, and the uids."""
    result = run(out, *words, "--json")
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    recipe = read_recipe(printed["files"][0])
    assert recipe is not None
    return printed, recipe, uid_hex(read_subset(printed["files"][0]))


def names(printed: dict[str, Any]) -> list[str]:
    return [Path(url).name for url in printed["files"]]


def test_a_fraction(tmp_path: Path) -> None:
    out = score_pool(str(tmp_path))
    arguments = ["--method", "CLIP", "--fraction", "3/10", "--formats", "npy, trie"]
    printed, _, uids = made(out + "/", *arguments)
    assert (printed["kept_rows"], printed["coverage"]) == (9, "9 of 9 uids present in this pool")
    assert names(printed) == ["clip-f0.3.npy", "clip-f0.3.trie"]
    assert uids == UIDS[21:]
    printed, _, _ = made(out, *arguments, "--subset-name", "best")
    assert names(printed) == ["best.npy", "best.trie"]


def test_the_best_rows_by_number_and_by_score(tmp_path: Path) -> None:
    out = score_pool(str(tmp_path))
    printed, recipe, uids = made(out, "--method", "clip", "--top", "7")
    assert (names(printed), uids) == (["clip-top7.npy", "clip-top7.pkl"], UIDS[23:])
    assert (recipe["top"], recipe["fraction"], recipe["kept_rows"]) == (7, "7/30", 7)
    printed, recipe, uids = made(out, "--method", "clip", "--threshold", "0.9")
    assert (names(printed)[0], uids) == ("clip-t0.9.npy", UIDS[27:])
    assert (recipe["asked_threshold"], recipe["threshold"], recipe["fraction"]) == (0.9, float(np.float32(0.9)), "0.1")
    assert (recipe["rule"], recipe["tie_rule"]) == ("score >= asked_threshold", "all rows at the threshold are kept")


def test_datacomps_rule_has_a_name_and_one_row_more(tmp_path: Path) -> None:
    printed, recipe, uids = made(
        score_pool(str(tmp_path)), "--method", "clip", "--fraction", "0.3", "--compat", "datacomp"
    )
    assert (names(printed)[0], uids, recipe["compat"]) == ("clip-f0.3-datacomp.npy", UIDS[20:], "datacomp")


@pytest.mark.parametrize("kind", ["zscore", "rank"])
def test_a_mix_of_two_columns(tmp_path: Path, kind: str) -> None:
    out = score_pool(str(tmp_path))
    score_pool(str(tmp_path), DFN, "dfn", score=lambda at: -at)
    columns = ["--mix", kind, "--score-name", CLIP, "--score-name"]
    printed, recipe, uids = made(out, *columns, f"{DFN}=0.5", "--fraction", "0.2")
    assert (names(printed)[0], uids) == (f"mix-{kind}-f0.2.npy", UIDS[24:])
    assert (recipe["method"], recipe["score_id"]) == (f"mix-{kind}", f"{kind}({CLIP}=1, {DFN}=0.5)")
    assert [(each["score_id"], each["weight"]) for each in recipe["mix"]["scores"]] == [(CLIP, 1.0), (DFN, 0.5)]
    assert all(each["weights_hash"] == "w" for each in recipe["mix"]["scores"])
    # The column that runs the other way outweighs it, and the first subset of that name is not overwritten.
    result = run(out, *columns, f"{DFN}=2", "--fraction", "0.2")
    assert result.exit_code == 1
    assert f"was made from the scores {kind}({CLIP}=1, {DFN}=0.5), not {kind}({CLIP}=1, {DFN}=2)" in str(
        result.exception
    )
    assert made(out, *columns, f"{DFN}=2", "--fraction", "0.2", "--subset-name", "other")[2] == UIDS[:6]
    result = run(out, *columns, "missing", "--top", "3")
    assert "3 of 3 shards have no scores yet" in str(result.exception)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--method", "clip"], "Missing option '--fraction', '--top' or '--threshold'."),
        (["--fraction", "1"], "Missing option '--method' (or '--mix' with several '--score-name')."),
        (["--method", "clip", "--fraction", "0.3", "--top", "5"], "give one of fraction, top and threshold"),
        (["--method", "clip", "--fraction", "0"], "fraction must be above 0 and at most 1, got 0"),
        (["--method", "clip", "--top", "5", "--compat", "datacomp"], "compat datacomp is a rule for fractions"),
        (["--method", "clip", "--top", "5", "--score-name", "a=2"], "need --mix zscore or --mix rank"),
        (["--method", "clip", "--top", "5", "--score-name", "a", "--score-name", "b"], "need --mix zscore or"),
        (["--mix", "rank", "--score-name", "a", "--top", "5"], "a mix needs the names of at least two scores, got a"),
        (["--mix", "rank", "--method", "clip", "--top", "5"], "leave out --method clip"),
    ],
)
@pytest.mark.parametrize("verb", [["subset"], ["submit", "subset", "--dry-run", "--defaults", "/dev/null"]])
def test_usage_errors_here_and_before_anything_is_sent(verb: list[str], words: list[str], message: str) -> None:
    result = CliRunner().invoke(cli, [*verb, "--output-dir", "s3://out", *words])
    assert result.exit_code == 2, result.output
    assert message in result.stderr


def test_more_uids_than_a_set_of_strings_can_hold_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = score_pool(str(tmp_path))
    monkeypatch.setattr(select_subset, "LARGEST_SET", 8)
    for size in (["--fraction", "0.3"], ["--threshold", "0.7"]):
        result = run(out, "--method", "clip", *size)
        assert "9 uids are too many for .pkl" in str(result.exception)
        assert "use --formats npy" in str(result.exception)
    assert made(out, "--method", "clip", "--fraction", "0.3", "--formats", "npy")[2] == UIDS[21:]
