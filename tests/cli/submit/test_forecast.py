"""`datascaler submit forecast --dry-run=client`: the driver, the runs of the ladder, and the steps after them."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from datascaler.cli.main import cli
from datascaler.cli.submit.pipeline_steps import given_steps, ladder_specs
from datascaler.cli.train import train
from datascaler.cli.train_options import train_spec
from datascaler.cluster.submit.values import ladder_values
from datascaler.spec.ladder import LADDER_STEPS, NOT_SHARED, LadderSpec
from datascaler.spec.train import TrainSpec
from tests.charts.render import helm
from tests.cli.submitting import SMALLEST, command_of, objects_of, refused, submit, values_of

LADDER = LadderSpec(
    data_dir="s3://pool", output_dir="s3://out/", scale="small", subset_files=("s3://s/clip-f0.3.npy", "none"),
    width_mults=(Fraction(1, 2), Fraction(1, 4)), branch_at=(4_000_000, 8_000_000), seeds=(0, 7),
    eval_data_dir="s3://sets", target="large",
)  # fmt: skip


def specs(ladder: LadderSpec = LADDER, *, offline: bool = True, **texts: str) -> dict[str, Any]:
    above = click.Context(cli, **cli.context_settings)
    with click.Context(cli.commands["submit"], parent=above):
        given = given_steps({**dict.fromkeys(LADDER_STEPS), "eval_data_dir": "s3://sets", **texts}, LADDER_STEPS)
        return ladder_specs(ladder, given, offline=offline)


def test_the_ladder_is_every_filter_at_every_width_with_every_seed() -> None:
    points = specs(train="--use-mup --lr 1e-3")["train"].points
    assert [(point.subset_file, point.width_mult, point.seed) for point in points] == [
        (file, width, seed)
        for file in ("s3://s/clip-f0.3.npy", None)
        for width in LADDER.width_mults
        for seed in LADDER.seeds
    ]
    for point in points:
        assert (point.schedule, point.branch_at) == ("wsd", (4_000_000, 8_000_000))
        assert (point.use_mup, point.lr, point.min_width_mult) == (True, 1e-3, Fraction(1, 4))


def test_one_budget_needs_no_trunk() -> None:
    one = LadderSpec(
        data_dir="s3://pool", output_dir="s3://out", scale="small", subset_files=("none",), branch_at=(4_000_000,),
        eval_data_dir="s3://sets", target_samples=10**9,
    )  # fmt: skip
    [point] = specs(one)["train"].points
    assert (point.schedule, point.train_num_samples, point.branch_at) == ("cosine", 4_000_000, ())


def test_each_step_finds_what_the_one_before_it_left() -> None:
    found = specs(report="--metric imagenet")
    assert list(found) == list(LADDER_STEPS)
    assert {point.output_dir for point in found["train"].points} == {found["eval"].train_dir} == {"s3://out/runs"}
    assert found["eval"].data_dir == "s3://sets"
    report = found["report"]
    assert (report.runs, report.output, report.target) == (("s3://out/runs",), "s3://out/forecast.html", "large")
    assert report.metric == report.forecast().metric == "imagenet"


def test_the_commands_of_the_pods_are_exactly_the_ladder(tmp_path: Path) -> None:
    """Where the recipes can be read, the name of a filter comes from there, in the pod as here."""
    for name, method in (("a", "clip"), ("b", "dfn")):
        recipe = {"method": method, "fraction": "3/10", "digest": "0" * 16}
        (tmp_path / f"{name}.json").write_text(json.dumps(recipe))
    files = tuple(str(tmp_path / f"{name}.npy") for name in "ab")
    ladder = LadderSpec(
        data_dir="s3://pool", output_dir="s3://out", scale="small", subset_files=files,
        width_mults=LADDER.width_mults, branch_at=LADDER.branch_at, eval_data_dir="s3://sets", target="large",
    )  # fmt: skip
    grid = specs(ladder, offline=False, train="--use-mup --weight-decay 0.1")["train"]
    assert {point.subset_name for point in grid.points} == {"clip-f0.3", "dfn-f0.3"}
    values = ladder_values("l", grid.base.arguments(leave_out=NOT_SHARED), grid)
    assert [run["name"] for run in values["runs"]] == [f"l-{number}" for number in range(4)]
    assert [_trained_by(run["command"]) for run in values["runs"]] == list(grid.points)


def test_filters_of_one_name_would_share_folders(tmp_path: Path) -> None:
    for name in "ab":
        recipe = {"method": "clip", "fraction": "3/10", "digest": name * 16}
        (tmp_path / f"{name}.json").write_text(json.dumps(recipe))
    files = f"{tmp_path}/a.npy,{tmp_path}/b.npy"
    words = [*SMALLEST["forecast"], "--subset-files", files]
    result = CliRunner().invoke(cli, ["submit", "forecast", *words, "--kubeconfig", "/nowhere"])
    assert result.exit_code == 2
    assert "a.npy and" in result.output
    assert "are both called clip-f0.3" in result.output


def test_the_driver_is_the_same_submit_that_waits() -> None:
    [job] = objects_of("forecast", "--name", "which", "--gpus", "2", "--train", "--use-mup --workers 4")
    assert job["metadata"]["labels"]["app.kubernetes.io/component"] == "pipeline"
    pod = job["spec"]["template"]["spec"]
    assert (pod["serviceAccountName"], pod["automountServiceAccountToken"]) == ("datascaler-launcher", True)
    assert "nvidia.com/gpu" not in pod["containers"][0]["resources"]["limits"]
    command = command_of(job)
    assert command[:6] == ["datascaler", "submit", "forecast", "--wait", "--name", "which"]
    given = dict(zip(SMALLEST["forecast"][::2], SMALLEST["forecast"][1::2], strict=True))
    given |= {"--branch-at": "4000000,8000000"}
    assert {name: command[command.index(name) + 1] for name in given} == given
    # What the pod will run is a command line that parses, and comes to the same driver.
    again = [word for word in command[1:] if word != "--wait"]
    result = CliRunner().invoke(cli, [*again, "--dry-run=client", "-o", "json"], env={"DATASCALER_HELM": helm()})
    assert result.exit_code == 0, result.output
    assert command_of(json.loads(result.stdout)["items"][0]) == command


def test_the_outlook_counts_every_run_at_its_own_width() -> None:
    said = submit("forecast", "--name", "which").stderr
    assert "pipeline  default/which: train -> eval -> report\n" in said
    assert "run       default/which-train, 4 runs\n" in said
    assert "for 2 budgets up to that, which share a trunk" in said
    narrow = submit("forecast", "--name", "which", "--width-mults", "0.25").stderr
    assert _hours(narrow) < _hours(said) / 2


def test_the_same_forecast_has_the_same_name_and_another_has_another() -> None:
    names = [values_of("forecast", *more)["name"] for more in ([], ["--gpus", "2"], ["--seeds", "0,1"])]
    assert names[0] == names[1] != names[2]
    assert names[0].startswith("forecast-small-")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--train", "--seed 1"], "--train --seed: it is for --subset-files, --width-mults, --seeds and --branch-at"),
        (["--train", "--branch-at 1M"], "--train --branch-at: it is for"),
        (["--train", "--lr nought"], "Invalid value for '--lr'"),
        (["--eval", "--index 1"], "--index: each pod gets its own"),
        (["--report", "s3://other"], "unexpected extra argument"),
        (["--report", "--output page.html"], "--output is page.html, on this machine's disk"),
        (["--subset-files", "none,none"], "--subset-files has the same value twice: none, none"),
        (["--subset-files", ","], "--subset-files is empty"),
        (["--target-width", "1"], "a target scale has its own width"),
        (["--branch-at", "4M,4.001M"], "each budget must have a step more"),
        (["--width-mults", "0.25,0"], "--width-mults must be above 0, got 0"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_is_refused_at_once(words: list[str], message: str) -> None:
    assert message in refused("forecast", *words)


def _trained_by(command: list[str]) -> TrainSpec:
    """What the command of a pod would train."""
    assert command[:2] == ["datascaler", "train"]
    context = train.make_context("train", list(command[2:]), token_normalize_func=lambda token: token.replace("_", "-"))
    return train_spec(context.params)


def _hours(said: str) -> float:
    [line] = [line for line in said.splitlines() if line.startswith("estimate")]
    return float(line.split()[1])
