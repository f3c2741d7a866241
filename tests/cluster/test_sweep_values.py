"""A sweep's runs: each command is one that `datascaler train` understands, and together they are the grid."""

from fractions import Fraction
from typing import Any

import click
import pytest

from datascaler.cli.main import cli
from datascaler.cli.submit.options import Step, SubmitCommand
from datascaler.cli.sweep import sweep
from datascaler.cli.train import train
from datascaler.cli.train_options import train_spec
from datascaler.cluster.submit.values import sweep_values
from datascaler.spec.sweep import SweepSpec, grid
from datascaler.spec.train import TrainSpec, datacomp_recipe

SHARED = [
    "--data-dir",
    "s3://pool",
    "--output_dir=s3://runs",
    "--scale",
    "small",
    "--use-mup",
    "--width-mult",
    "0.1875",
]
BASE = datacomp_recipe(
    "small", data_dir="s3://pool", output_dir="s3://runs", use_mup=True, width_mult=Fraction(3, 16),
    min_width_mult=Fraction(3, 16),
)  # fmt: skip


def spec_of(words: list[str]) -> TrainSpec:
    """What `datascaler train WORDS` would train."""
    return train_spec(train.make_context("train", list(words), token_normalize_func=_dashes).params)


@pytest.mark.parametrize(
    ("flags", "axes"),
    [
        ([], {}),
        (["--lrs", "5e-4,1e-3"], {"lrs": [5e-4, 1e-3]}),
        (["--lrs=1.2345678e-4,3e-3", "--weight_decays", "0,1"], {"lrs": [1.2345678e-4, 3e-3], "weight_decays": [0, 1]}),
        (["--warmups=1_00,2K", "--lrs=1e-3"], {"lrs": [1e-3], "warmups": [100, 2000]}),
    ],
    ids=str,
)  # fmt: skip
def test_the_commands_are_exactly_the_grid(flags: list[str], axes: dict[str, Any]) -> None:
    arguments = [*SHARED[:3], *flags, *SHARED[3:]]
    params = sweep.make_context("sweep", list(arguments), token_normalize_func=_dashes).params
    assert {name: params[name] for name in axes} == axes
    command = SubmitCommand("sweep")
    with click.Context(cli, **cli.context_settings) as above:
        ctx = command.make_context("sweep", list(arguments), parent=above)
        step = Step(command.verb, ctx, ctx.params)
        spec = step.spec(offline=True)
    assert isinstance(spec, SweepSpec)
    assert step.words == SHARED
    values = sweep_values("s", step.words, spec)
    assert {tuple(run["command"][:2]) for run in values["runs"]} == {("datascaler", "train")}
    assert [spec_of(run["command"][2:]) for run in values["runs"]] == grid(BASE, **axes)


def test_runs_have_names_that_sort_and_folders_of_their_own() -> None:
    lrs = [(number + 1) * 1e-5 for number in range(101)]
    values = sweep_values("s", SHARED, SweepSpec(base=BASE, lrs=tuple(lrs)))
    names = [run["name"] for run in values["runs"]]
    assert names == [f"s-{number:03}" for number in range(101)] == sorted(names)
    assert [run["logs"] for run in values["runs"]] == [f"s3://runs/logs/{name}" for name in names]
    assert {key for run in values["runs"] for key in run} == {"name", "command", "logs"}
    assert values["kind"] == "train"


def _dashes(token: str) -> str:
    return token.replace("_", "-")
