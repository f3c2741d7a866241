"""`datascaler submit pipeline --dry-run=client`: the driver, and what it will submit when it runs."""

import json
import shlex
from typing import Any

import click
import pytest
from click.testing import CliRunner

from datascaler.cli.main import cli
from datascaler.cli.submit.options import step_of
from datascaler.cluster.act.pipeline import Pipeline
from datascaler.spec.numbers import parse_fraction
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


def pipeline(**changes: Any) -> Pipeline:
    fields: dict[str, Any] = {
        "name": "first", "data_dir": "s3://pool", "output_dir": "s3://out/", "method": "clip", "scale": "small",
        "fraction": parse_fraction("0.3"), "eval_data_dir": "s3://sets", "has_sweep": False,
    }  # fmt: skip
    return Pipeline(**fields | changes)


def parsed(verb: str, words: list[str]) -> dict[str, Any]:
    above = click.Context(cli, **cli.context_settings)
    with click.Context(cli.commands["submit"], parent=above):
        return step_of(verb, words).parse()


def test_the_steps_in_their_order() -> None:
    assert pipeline().verbs == ["score", "subset", "train", "eval"]
    assert pipeline(has_sweep=True).verbs == ["score", "subset", "sweep", "train", "eval"]
    assert pipeline(eval_data_dir=None).verbs == ["score", "subset", "train"]
    assert pipeline().step_name("eval") == "first-eval"


def test_each_step_finds_what_the_one_before_it_left() -> None:
    whole = pipeline(has_sweep=True)
    found = {verb: parsed(verb, whole.arguments(verb, [])) for verb in whole.verbs}
    assert found["score"]["output_dir"].rstrip("/") == found["subset"]["output_dir"].rstrip("/") == "s3://out"
    assert found["train"]["subset_file"] == found["sweep"]["subset_file"] == "s3://out/subsets/clip-f0.3.npy"
    assert found["train"]["output_dir"] == found["sweep"]["output_dir"] == found["eval"]["train_dir"] == "s3://out/runs"
    assert {found[verb]["data_dir"] for verb in ("score", "train", "sweep")} == {"s3://pool"}
    assert found["eval"]["data_dir"] == "s3://sets"
    for verb in ("subset", "train", "sweep", "eval"):
        assert (found[verb]["method"], found[verb]["fraction"]) == ("clip", parse_fraction("0.3"))
    assert {found[verb]["scale"] for verb in ("train", "sweep", "eval")} == {"small"}


def test_a_steps_own_words_win() -> None:
    own = ["--subset_file=s3://other.npy", "--scale", "medium", "--use-mup"]
    found = parsed("train", pipeline().arguments("train", own))
    assert (found["subset_file"], found["scale"], found["use_mup"]) == ("s3://other.npy", "medium", True)
    words = pipeline().arguments("train", own)
    assert words[-len(own) :] == own
    assert sum(word.startswith("--scale") for word in words) == 1


def test_a_sweep_varies_the_training_run() -> None:
    train = ["--use-mup", "--width-mult", "0.1875", "--seed", "3"]
    found = parsed("sweep", pipeline(has_sweep=True).arguments("sweep", ["--lrs", "1e-3", "--seed", "4"], train))
    assert (found["use_mup"], found["lrs"], found["seed"]) == (True, [1e-3], 4)
