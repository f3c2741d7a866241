"""Which runs a person means, by the words that name them."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from datascaler import storage
from datascaler.data.runs.run_folder import RunSummary, finish_run, run_url, start_run
from datascaler.data.runs.select_runs import select_runs
from datascaler.errors import ConfigError
from datascaler.spec.train import TrainSpec
from tests.train.runs import tiny_spec


def leave_run(spec: TrainSpec, loss: float | None = None, *, checkpoint: bool = True) -> str:
    """The files of a run; finished if it has a loss."""
    url = run_url(spec)
    start_run(spec, {}, "")
    if checkpoint:
        storage.publish_json(storage.join(url, "checkpoints", "latest.json"), {"file": "step_00000001.pt"})
    if loss is not None:
        finish_run(
            spec,
            RunSummary(
                run=url,
                checkpoint=storage.join(url, "checkpoints/step_00000001.pt"),
                samples_seen=1,
                steps=1,
                substituted=0,
                train_loss=loss,
                seconds=1.0,
            ),
        )
    return url


@pytest.fixture
def runs(tmp_path: Path) -> dict[str, str]:
    base = tiny_spec("pool", str(tmp_path), subset_file="s.npy", method="clip", fraction=Fraction(2, 5))
    wide: dict[str, Any] = {
        "width_mult": Fraction(1),
        "min_width_mult": Fraction(3, 16),
        "use_mup": True,
        "model_arch": "ViT-B-32",
    }
    return {
        "good": leave_run(replace(base, lr=1e-3), 2.5),
        "best": leave_run(replace(base, lr=2e-3), 2.0),
        "going": leave_run(replace(base, lr=4e-3)),
        "young": leave_run(replace(base, lr=8e-3), checkpoint=False),
        "dfn": leave_run(replace(base, method="dfn", fraction=Fraction(3, 10)), 1.0),
        "wide": leave_run(replace(base, **wide), 1.5),
    }


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ({}, ["dfn", "wide", "best", "good", "going"]),
        ({"method": "CLIP"}, ["wide", "best", "good", "going"]),
        ({"fraction": Fraction("0.4")}, ["wide", "best", "good", "going"]),
        ({"fraction": Fraction("0.3")}, ["dfn"]),
        ({"use_mup": True}, ["wide"]),
        ({"use_mup": False, "method": "clip"}, ["best", "good", "going"]),
        ({"min_width_mult": Fraction("0.1875")}, ["wide"]),
        ({"width_mult": Fraction("1.0"), "scale": "Debug"}, ["wide"]),
        ({"model_arch": "vit-b-32"}, ["wide"]),
        ({"method": None, "model_arch": "ViT-Mini-8-48"}, ["dfn", "best", "good", "going"]),
    ],
)
def test_filters(wanted: dict[str, Any], names: list[str], runs: dict[str, str], tmp_path: Path) -> None:
    """Best train loss first; a run that is still going comes last, one without a checkpoint not at all."""
    assert [run.url for run in select_runs(str(tmp_path), wanted)] == [runs[name] for name in names]


def test_runs_that_are_meant_but_no_use_are_listed_with_the_reason(runs: dict[str, str], tmp_path: Path) -> None:
    storage.publish_json(f"{runs['going']}/diverged.json", {"step": 7, "message": "the loss is nan"})
    storage.publish_bytes(f"{runs['wide']}/run.json", b"{")
    storage.publish_bytes(f"{runs['dfn']}/summary.json", b'{"run": ')
    failures: dict[str, str] = {}
    found = select_runs(str(tmp_path), {"method": "clip"}, failures)
    assert [run.url for run in found] == [runs["best"], runs["good"]]
    assert set(failures) == {runs["going"], runs["young"], runs["wide"]}
    assert failures[runs["going"]].startswith("it diverged at step 7: the loss is nan")
    assert failures[runs["young"]] == "it is not complete, and has no checkpoint yet"
    assert "run.json: not valid JSON" in failures[runs["wide"]]
    failures.clear()
    select_runs(str(tmp_path), {}, failures)
    assert "summary.json: not valid JSON" in failures[runs["dfn"]]


def test_the_folder_may_be_the_run_itself(runs: dict[str, str]) -> None:
    (found,) = select_runs(runs["best"], {})
    assert (found.url, found.train_loss) == (runs["best"], 2.0)


def test_none_lists_what_there_is(runs: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        select_runs(str(tmp_path), {"method": "tmars", "fraction": Fraction(1, 2), "scale": None})
    first, *there = str(raised.value).splitlines()
    assert first == f"no run with method tmars, fraction 1/2 has a checkpoint in {tmp_path}; there are:"
    assert sorted(line.strip() for line in there) == sorted(url.removeprefix(f"{tmp_path}/") for url in runs.values())
    with pytest.raises(ConfigError, match=f"^no run has a checkpoint in {runs['young']}; there are:"):
        select_runs(runs["young"], {})
    with pytest.raises(ConfigError, match=r"no runs \(run\.json\) in .*elsewhere"):
        select_runs(str(tmp_path / "elsewhere"), {})


def test_a_run_of_another_version_is_one_line(tmp_path: Path) -> None:
    storage.publish_json(f"{tmp_path}/a/run.json", {"spec": {"data_dir": "pool"}})
    with pytest.raises(ConfigError, match=r"a/run\.json is not a run of this version"):
        select_runs(str(tmp_path), {})
