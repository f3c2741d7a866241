"""`datascaler submit pipeline --dry-run=client`: the driver, and what it will submit when it runs."""

import json
import shlex
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from typing import Any

import click
import pytest
from click.testing import CliRunner

from datascaler.cli.main import cli
from datascaler.cli.submit.pipeline_steps import given_steps, step_specs
from datascaler.cluster.kube import chart_values
from datascaler.cluster.submit import request, submission
from datascaler.spec.pipeline import STEPS, PipelineSpec
from datascaler.tools.plain_yaml import load_yaml
from tests.charts.render import helm
from tests.cli.submitting import SMALLEST, command_of, objects_of, refused, submit, values_of


def driver(*words: str) -> list[str]:
    [job] = objects_of("pipeline", "--name", "first", *words)
    assert job["kind"] == "Job"
    return command_of(job)


def flag(words: list[str], name: str) -> str:
    return words[words.index(name) + 1]


def test_the_driver_is_the_same_submit_that_waits() -> None:
    command = driver()
    assert command[:6] == ["datascaler", "submit", "pipeline", "--wait", "--name", "first"]
    rest = command[6:]
    given = dict(zip(SMALLEST["pipeline"][::2], SMALLEST["pipeline"][1::2], strict=True))
    assert {name: flag(rest, name) for name in given} == given | {"--fraction": "3/10"}
    assert len(rest) == 2 * len(given)


def test_the_driver_has_the_launchers_image_and_account_and_no_gpu() -> None:
    [job] = objects_of("pipeline", "--gpus", "8", "--launcher-image", "reg/launcher:v2", "--queue", "team-a")
    pod = job["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "datascaler-launcher"
    assert pod["containers"][0]["image"] == "reg/launcher:v2"
    assert "nvidia.com/gpu" not in pod["containers"][0]["resources"]["limits"]
    assert "kueue.x-k8s.io/queue-name" not in job["metadata"]["labels"]


def test_the_driver_needs_no_file_and_no_variable_of_this_machine(tmp_path: Any) -> None:
    """Its command, run elsewhere, describes the same steps."""
    (tmp_path / "shared.yaml").write_text("gpu: {resource: amd.com/gpu}")
    (tmp_path / "own.yaml").write_text("shmSize: 64Gi")
    words = ["--values", str(tmp_path / "shared.yaml"), "--label", "team=a", "--env", "WANDB_MODE"]
    words += ["--train", f"--workers 2 --values {tmp_path}/own.yaml --use-mup --width-mult 0.1875"]
    words += ["--score", "--count 4 --gpus 0"]
    values = values_of("pipeline", "--name", "first", *words, environment={"WANDB_MODE": "offline"})
    command = values["command"][1:]
    assert str(tmp_path) not in json.dumps(command)
    assert json.loads(flag(command, "--values")) == {
        "gpu": {"resource": "amd.com/gpu"}, "labels": {"team": "a"}, "env": {"WANDB_MODE": "offline"},
    }  # fmt: skip
    train = shlex.split(flag(command, "--train"))
    assert train[:3] == ["--use-mup", "--width-mult", "0.1875"]
    assert json.loads(flag(train, "--values")) == {"train": {"workers": 2}, "shmSize": "64Gi"}
    score = shlex.split(flag(command, "--score"))
    assert score[:2] == ["--count", "4"]
    assert json.loads(flag(score, "--values")) == {"gpu": {"count": 0}}
    # What the pod will run is a command line that parses, and comes to the same driver.
    again = [word for word in command if word != "--wait"]
    result = CliRunner().invoke(cli, [*again, "--dry-run=client", "-o", "values"], env={"DATASCALER_HELM": helm()})
    assert result.exit_code == 0, result.output
    assert shlex.join(command) in shlex.join(
        values_of("pipeline", "--name", "first", *words, environment={"WANDB_MODE": "offline"})["command"]
    )


def test_the_driver_reads_its_values_as_they_were_given() -> None:
    note = "\U0001f642 \u2028\ufeff <<: $(X)"
    command = driver("--annotation", f"note={note}", "--eval", shlex.join(["--annotation", f"own={note}"]))
    command = [word.replace("$$", "$") for word in command]
    assert load_yaml(flag(command, "--values")) == {"annotations": {"note": note}}
    assert load_yaml(flag(shlex.split(flag(command, "--eval")), "--values")) == {"annotations": {"own": note}}


def test_the_same_pipeline_has_the_same_name_and_another_has_another() -> None:
    names = [values_of("pipeline", *more)["name"] for more in ([], [], ["--train", "--seed 1"], ["--gpus", "2"])]
    # Where it runs is not what it is: the same work on other GPUs would be in its own way.
    assert names[0] == names[1] == names[3]
    assert names[2] != names[0]
    assert names[0].startswith("pipeline-small-")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--score", "--count 4 --index 1"], "--index: each pod gets its own"),
        (["--eval", "--tasks"], "Option '--tasks' requires an argument"),
        (["--train", "--use-mup --lr nought"], "Invalid value for '--lr'"),
        (["--train", "--workers 4 --max-workers 2"], "train.workers is 4, which is not between"),
        (["--score", "--method nobody"], "Invalid value for '--method'"),
        (["--sweep", "--lrs 1e-3,1e-3"], "the grid has the same point twice"),
        (["--scale", "huge"], "unknown scale 'huge'"),
        (["--name", "x" * 50], "has 56 characters; at most 53 are possible"),
        (["--train", "'unbalanced"], "--train 'unbalanced: No closing quotation"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_flag_of_any_step_is_found_at_once(words: list[str], message: str) -> None:
    assert message in refused("pipeline", *words)


def test_stdout_is_the_driver_alone() -> None:
    result = submit("pipeline", "--sweep", "--lrs 1e-3,2e-3")
    assert result.stdout.count("kind: Job") == 1
    assert "PyTorchJob" not in result.stdout


# ---- what each step is given -----------------------------------------------------------------------------------

SPEC = PipelineSpec(
    data_dir="s3://pool", output_dir="s3://out/", method="clip", scale="small", fraction=Fraction(3, 10),
    eval_data_dir="s3://sets",
)  # fmt: skip


def specs(spec: PipelineSpec = SPEC, *, has_sweep: bool = False, **texts: str) -> dict[str, Any]:
    above = click.Context(cli, **cli.context_settings)
    with click.Context(cli.commands["submit"], parent=above):
        given = given_steps({**dict.fromkeys(STEPS), "eval_data_dir": spec.eval_data_dir, **texts})
        return step_specs(spec, given, has_sweep=has_sweep)


def test_the_steps_in_their_order() -> None:
    assert list(specs()) == ["score", "subset", "train", "eval"]
    assert list(specs(has_sweep=True)) == ["score", "subset", "sweep", "train", "eval"]
    assert list(specs(replace(SPEC, eval_data_dir=None))) == ["score", "subset", "train"]
    assert "run       default/first-eval\n" in submit("pipeline", "--name", "first").stderr


def test_each_step_finds_what_the_one_before_it_left() -> None:
    found = specs(has_sweep=True)
    found["sweep"] = found["sweep"].base
    assert found["score"].output_dir.rstrip("/") == found["subset"].output_dir.rstrip("/") == "s3://out"
    assert found["train"].subset_file == found["sweep"].subset_file == "s3://out/subsets/clip-f0.3.npy"
    assert found["train"].output_dir == found["sweep"].output_dir == found["eval"].train_dir == "s3://out/runs"
    assert {found[verb].data_dir for verb in ("score", "train", "sweep")} == {"s3://pool"}
    assert found["eval"].data_dir == "s3://sets"
    for verb in ("subset", "train", "sweep", "eval"):
        assert (found[verb].method, found[verb].fraction) == ("clip", Fraction(3, 10))
    assert {found[verb].scale for verb in ("train", "sweep", "eval")} == {"small"}


def test_a_steps_own_words_win() -> None:
    found = specs(train="--subset_file=s3://other.npy --scale medium --use-mup")["train"]
    assert (found.subset_file, found.scale, found.use_mup) == ("s3://other.npy", "medium", True)
    words = found.arguments()
    assert words[words.index("--subset-file") + 1] == "s3://other.npy"
    assert sum(word.startswith("--scale") for word in words) == 1


def test_a_sweep_varies_the_training_run() -> None:
    train = "--use-mup --width-mult 0.1875 --seed 3 --weight-decay 0.1 --nproc-per-node 2"
    found = specs(has_sweep=True, train=train, sweep="--lrs 1e-3 --seed 4")["sweep"]
    assert (found.base.use_mup, found.lrs, found.base.seed, found.weight_decays) == (True, (1e-3,), 4, (0.1,))


def test_five_steps_cost_few_parses_and_merges(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step is parsed once, and its layers of values are merged once; the parses are those of `submit` too."""
    counts: Counter[str] = Counter()

    def counted(name: str, function: Any) -> Any:
        def call(*args: Any, **more: Any) -> Any:
            counts[name] += 1
            return function(*args, **more)

        return call

    monkeypatch.setattr(click.Command, "make_parser", counted("parses", click.Command.make_parser))
    merged = counted("merges", chart_values.merged_values)
    for module in (chart_values, request, submission):
        monkeypatch.setattr(module, "merged_values", merged)
    words = [
        "--score",
        "--count 16 --arch b32",
        "--subset",
        "--formats npy",
        "--sweep",
        "--lrs 1e-3,2e-3",
        "--gpus",
        "1",
    ]
    words += ["--train", "--workers 4 --use-mup --width-mult 0.1875", "--eval", "--count 4 --env A=b"]
    assert submit("pipeline", *words).exit_code == 0
    assert 3 + len(STEPS) <= counts["parses"] <= 12, counts
    assert 0 < counts["merges"] <= 20, counts
