"""Rules of the command line as a whole."""

import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from datascaler import storage
from datascaler.cli.main import HERE, IN_THE_CLUSTER, Verb, cli, main
from datascaler.cli.options import COUNT, FRACTION, TRUTH, list_of
from datascaler.cli.submit.options import SubmitCommand
from datascaler.cli.verb_group import VerbGroup
from datascaler.data.runs.run_folder import RunSummary, finish_run, run_url, start_run
from datascaler.spec.train import TrainSpec, datacomp_recipe
from tests.train.runs import tiny_spec

HEAVY = {"numpy", "fsspec", "s3fs", "kubernetes", "torch", "pyarrow", "PIL", "yaml", "open_clip", "tqdm", "asyncio"}


def commands(group: click.Group = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


COMMANDS = dict(commands())
VERBS = {
    path: command
    for path, command in COMMANDS.items()
    if isinstance(command, VerbGroup) or not isinstance(command, click.Group)
}


@pytest.mark.parametrize("path", [(), *COMMANDS], ids=" ".join)
def test_help_loads_click_and_the_standard_library_only(path: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "datascaler", *path, "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = {line.rpartition("|")[2].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert "click" in loaded
    assert loaded & HEAVY == set()
    assert done.stdout.startswith("Usage: datascaler")


@pytest.mark.parametrize(("name", "verb"), (HERE | IN_THE_CLUSTER).items())
def test_the_list_of_verbs_says_what_each_says_of_itself(name: str, verb: Verb) -> None:
    command = COMMANDS[(name,)]
    assert command.name == name
    own = (command.help or "").split("\n\n")[0].replace("\n", " ")
    assert own.startswith(verb.help_line.removesuffix("."))
    assert len(verb.help_line) <= 80


@pytest.mark.parametrize("path", [(), *COMMANDS], ids=" ".join)
def test_help_begins_with_an_imperative_sentence(path: tuple[str, ...]) -> None:
    command = COMMANDS.get(path, cli)
    first = (command.help or "").split("\n\n")[0]
    word = first.split()[0]
    assert re.fullmatch(r"[A-Z][a-z]+", word), first
    assert not word.endswith(("s", "ing")), f"{word!r} is not imperative"
    assert first.endswith((".", ":")), first


@pytest.mark.parametrize("path", VERBS, ids=" ".join)
def test_help_has_an_example_that_parses(path: tuple[str, ...]) -> None:
    """The example's flags exist; every option but the switches has a word of help or a name that says it."""
    command = VERBS[path]
    shown = CliRunner().invoke(cli, [*path, "--help"]).stdout
    example = re.search(rf"^ *(datascaler {' '.join(path)}(?: .*\\\n)*.*)$", shown, re.MULTILINE)
    assert example, shown
    # `submit VERB` also takes the flags of the verb, and a pipeline flags of its steps in quotes.
    params = [*command.params, *(command.verb.params if isinstance(command, SubmitCommand) else ())]
    known = {name for parameter in params for name in (*parameter.opts, *parameter.secondary_opts)}
    unquoted = re.sub(r'"[^"]*"', "", example[1])
    assert set(re.findall(r"(?<=\s)--[a-z-]+", unquoted)) <= known


def test_the_help_of_score_has_a_section_for_each_family_of_methods() -> None:
    shown = CliRunner().invoke(cli, ["score", "--help"]).stdout
    titles = re.findall(r"^(\w[\w ]*)(?=:.*:$|:$)", shown, re.MULTILINE)
    assert titles == ["Options", "Images", "Captions and metadata", "Embeddings"]
    sections = dict(zip(titles, re.split(r"^\w[\w ]*:.*$", shown, flags=re.MULTILINE)[-4:], strict=True))
    flags = {name: set(re.findall(r"^  (--[a-z-]+)", section, re.MULTILINE)) for name, section in sections.items()}
    assert {"--data-dir", "--method", "--count", "--json"} <= flags["Options"]
    assert {"--model", "--detector", "--verify"} <= flags["Images"]
    assert {"--from-metadata", "--entries"} <= flags["Captions and metadata"]
    assert {"--embeddings", "--eps"} <= flags["Embeddings"]
    # None is left out, and none stands twice.
    parameters = [parameter.opts[0] for parameter in COMMANDS[("score",)].params]
    assert sorted(flag for section in flags.values() for flag in section - {"--help"}) == sorted(parameters)


def test_commands_are_listed_in_the_order_in_which_a_user_meets_them() -> None:
    assert [path[0] for path in COMMANDS if len(path) == 1][:6] == ["pool", "score", "subset", "train", "sweep", "eval"]


@pytest.mark.parametrize("path", [(), *COMMANDS], ids=" ".join)
def test_an_unknown_flag_is_a_usage_error(path: tuple[str, ...]) -> None:
    result = CliRunner().invoke(cli, [*path, "--no-such-flag"])
    assert result.exit_code == 2
    assert "No such option" in result.stderr


def test_errors_are_one_line_with_their_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = ["train", "--data-dir", str(tmp_path), "--output-dir", str(tmp_path), "--scale", "huge"]
    monkeypatch.setattr(sys, "argv", ["datascaler", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    known = "debug, small, medium, large, xlarge"
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.endswith(f"Error: unknown scale 'huge'; known: {known}\n")


def test_errors_in_files_have_another_exit_code_than_those_in_flags(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["datascaler", "pool", "check", "--data-dir", str(tmp_path)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 78
    assert capsys.readouterr().err.startswith(f"datascaler: error: no .tar files in {tmp_path}")


# ---- number forms ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (COUNT, "128_000_000", 128_000_000),
        (COUNT, "128M", 128_000_000),
        (COUNT, "12.8m", 12_800_000),
        (COUNT, "4", 4),
        (FRACTION, "0.1875", Fraction(3, 16)),
        (FRACTION, "3/16", Fraction(3, 16)),
        (FRACTION, "0.3", Fraction(3, 10)),
        (FRACTION, "1.0", Fraction(1)),
        (TRUTH, "true", True),
        (TRUTH, "False", False),
        (list_of(click.FLOAT), "1e-3,2e-3", [1e-3, 2e-3]),
        (list_of(COUNT), "1K,20", [1000, 20]),
    ],
)
def test_forms_of_numbers(kind: click.ParamType[Any], text: str, value: object) -> None:
    assert kind.convert(text, None, None) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        *((COUNT, text) for text in ("12.8", "many", "")),
        *((FRACTION, text) for text in ("half", "1/0", "nan")),
        *((list_of(click.FLOAT), text) for text in ("1e-3;2e-3", "1,,2")),
        (TRUTH, "maybe"),
    ],
)
def test_what_is_no_number_is_a_usage_error(kind: click.ParamType[Any], text: str) -> None:
    with pytest.raises(click.BadParameter):
        kind.convert(text, None, None)


# ---- train and sweep: from flags to specs ----------------------------------------------------------------------


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[TrainSpec]:
    """The specs that would have been trained."""
    specs: list[TrainSpec] = []

    def train(spec: TrainSpec, *_: object) -> RunSummary:
        specs.append(spec)
        summary = RunSummary(
            run=run_url(spec), checkpoint="a/run/c.pt", samples_seen=1, steps=1, substituted=0,
            train_loss=2.5 if spec.lr < 6e-4 else 1.25, seconds=1.0,
        )  # fmt: skip
        if Path(spec.output_dir).is_absolute():
            start_run(spec, {}, "")
            finish_run(spec, summary)
        return summary

    # What is trained on here does not exist.
    for verb in ("train", "sweep"):
        monkeypatch.setattr(importlib.import_module(f"datascaler.cli.{verb}"), "begin_work", lambda _: None)
    # The packages have a function of the module's name. A module that were imported only now, between the two, would
    # keep the first one's stand-in for the tests that follow.
    for module in [importlib.import_module(f"datascaler.{name}") for name in ("train.train_clip", "sweep.sweep_runs")]:
        monkeypatch.setattr(module, "train_clip", train)
    return specs


def invoke(*arguments: str) -> Result:
    result = CliRunner().invoke(cli, arguments)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


ORIGINAL = (
    "--data-dir=pool", "--output-dir=out", "--width-mult=1.0", "--min-width-mult=0.1875", "--scale=medium",
    "--train-num-samples=128_000_000", "--model-arch", "ViT-B-32",
)  # fmt: skip


def test_the_flags_of_the_first_version(trained: list[TrainSpec]) -> None:
    subset = ("--subset-file-path=best.pkl", "--method=CLIP", "--fraction=0.4")
    assert invoke("train", *ORIGINAL, "--use-mup=true", *subset).exit_code == 0
    (spec,) = trained
    assert spec == datacomp_recipe(
        "medium", data_dir="pool", output_dir="out", method="clip", fraction=Fraction(2, 5), subset_file="best.pkl",
        min_width_mult=Fraction(3, 16), use_mup=True,
    )  # fmt: skip
    assert spec.folder == "medium/clip-f0.4/ViT-B-32-w1.0-b0.1875-mup/lr0.0005-wd0.2-wu500-n128000000-s0"


@pytest.mark.parametrize(
    ("flags", "use_mup"),
    [
        ([], False),
        (["--use-mup"], True),
        (["--use-mup=true"], True),
        (["--use-mup", "true"], True),
        (["--use-mup=false"], False),
        (["--use_mup=true"], True),
        (["--use_mup"], True),
        (["--use-mup", "--seed=0"], True),
    ],
)
def test_spellings_of_a_switch(flags: list[str], use_mup: bool, trained: list[TrainSpec]) -> None:
    assert invoke("train", *ORIGINAL, *flags).exit_code == 0
    assert trained[0].use_mup is use_mup


def test_every_flag_takes_underscores(trained: list[TrainSpec]) -> None:
    flags = [flag.replace("-", "_").replace("__", "--", 1) for flag in ORIGINAL[:6]]
    assert invoke("train", *flags, "--subset_file=a_b-c.npy", "--num_workers=0").exit_code == 0
    assert trained[0].subset_file == "a_b-c.npy"


def test_method_and_fraction_come_from_the_recipe(trained: list[TrainSpec], tmp_path: Path) -> None:
    recipe = {"method": "dfn", "fraction": "0.15", "digest": "0"}
    storage.publish_json(str(tmp_path / "best.json"), recipe)
    invoke("train", *ORIGINAL, f"--subset-file={tmp_path}/best.npy")
    invoke("train", *ORIGINAL, f"--subset-file={tmp_path}/theirs.npy")
    assert [(spec.method, spec.fraction) for spec in trained] == [("dfn", Fraction(3, 20)), ("subset", None)]
    # What is not known is neither in the run's path nor in its record.
    assert [spec.folder.split("/")[1] for spec in trained] == ["dfn-f0.15", "subset"]
    assert (trained[1].record()["fraction"], TrainSpec.from_record(trained[1].record())) == (None, trained[1])


def test_a_fraction_needs_a_subset(trained: list[TrainSpec]) -> None:
    result = invoke("train", *ORIGINAL, "--method=clip", "--fraction=0.4")
    assert result.exit_code == 2
    assert "fraction 0.4 needs the subset to train on: give --subset-file" in result.stderr
    assert trained == []


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--batch-size=0", "--batch-size must be above 0, got 0"),
        ("--fraction=1.5", "--fraction must be above 0 and at most 1, got 1.5"),
        ("--lr=-1", "--lr must be above 0"),
        ("--lr=nan", "--lr must be above 0"),
        ("--warmup=-1", "--warmup must not be negative"),
        ("--train-num-samples=10", "--batch-size 4096 is more than --train-num-samples 10"),
    ],
)
def test_impossible_values(flag: str, message: str, trained: list[TrainSpec]) -> None:
    result = invoke("train", *ORIGINAL, flag)
    assert result.exit_code == 2
    assert message in result.stderr
    assert trained == []


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"use_mup": True, "width_mult": Fraction(3, 16), "min_width_mult": Fraction(1, 8), "eps": 1e-8},
        {"subset_file": "a.npy", "plan_file": "a.plan", "method": "clip", "fraction": Fraction(1, 3)},
        {"lr": 1 / 3, "weight_decay": 0.1, "warmup_steps": 7, "beta2": 0.95, "seed": 3, "precision": "bf16"},
        {"device_batch_size": 4, "min_coverage": 0.5, "num_checkpoints": 2, "log_every_steps": 3, "num_workers": 9},
        {"decode": "fast", "cache_dir": "/nvme", "cache_bytes": 7, "storage_client": "obstore", "num_workers": 1},
        {"no_plan": True},
    ],
    ids=str,
)
def test_a_spec_survives_its_own_arguments(changes: dict[str, Any], trained: list[TrainSpec]) -> None:
    """A sweep under torchrun hands its points to processes as arguments."""
    spec = tiny_spec("pool", "out", **changes)
    assert invoke("train", *spec.arguments()).exit_code == 0
    assert trained == [spec]


def test_sweep_ranks_the_points(trained: list[TrainSpec], tmp_path: Path) -> None:
    flags = ("--scale=small", "--data-dir=pool", f"--output-dir={tmp_path}")
    result = invoke("sweep", *flags, "--lrs", "5e-4,1e-3", "--weight-decays=0.1,0.2")
    assert [(spec.lr, spec.weight_decay) for spec in trained] == [(5e-4, 0.1), (5e-4, 0.2), (1e-3, 0.1), (1e-3, 0.2)]
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["lr", "weight", "decay", "warmup", "steps", "train", "loss", "run"]
    assert lines[1].split()[:5] == ["*", "0.001", "0.1", "500", "1.25"]
    trained.clear()
    grid = ("--lrs=5e-4,1e-3,2e-3", "--weight-decays=0.1")
    partial = invoke("sweep", *flags, *grid, "--collect")
    assert partial.exit_code == 104
    collected = partial.stdout.splitlines()
    assert trained == []
    assert [line.split()[:3] for line in collected[1:3]] == [["*", "0.001", "0.1"], ["0.0005", "0.1", "500"]]
    assert collected[3].endswith("  not complete")
    assert '"best": {"lr": 0.001' in invoke("sweep", *flags, "--json").stdout
    assert [spec.lr for spec in trained] == [1.25e-4, 2.5e-4, 5e-4, 1e-3, 2e-3]


def test_the_same_point_twice_is_refused(trained: list[TrainSpec]) -> None:
    result = invoke("sweep", *ORIGINAL, "--lrs=1e-3,0.001")
    assert result.exit_code == 2
    assert "the grid has the same point twice" in result.stderr
    assert trained == []


def test_eval_takes_runs_or_a_model_but_not_both() -> None:
    for flags in (["--data-dir=d"], ["--data-dir=d", "--train-dir=t", "--model=ViT-B-32"]):
        result = invoke("eval", *flags)
        assert result.exit_code == 2
        assert "give either --train-dir, or --model and --pretrained" in result.stderr
