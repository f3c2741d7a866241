"""No path of this machine reaches a pod: by the facts at the specs' fields, and by a list of flags written by hand."""

from collections.abc import Iterator
from typing import Any

import click
import pytest

from datascaler.cli.submit.options import SubmitCommand
from datascaler.spec.evaluate import EvalSpec
from datascaler.spec.field import facts_of, flag_of, flat_fields
from datascaler.spec.ladder import LadderSpec
from datascaler.spec.pipeline import PipelineSpec
from datascaler.spec.report import ReportSpec
from datascaler.spec.score import ScoreSpec
from datascaler.spec.score_captions import CaptionSpec
from datascaler.spec.score_embeddings import EmbeddingSpec
from datascaler.spec.subset import SubsetSpec
from datascaler.spec.sweep import SweepSpec
from datascaler.spec.train import TrainSpec
from tests.cli.submitting import refused, submit, verbs

OUT = "--output-dir s3://out"
POOL = f"--data-dir s3://pool {OUT}"
META = f"--from-metadata s3://m {OUT}"
TRAINED = f"{POOL} --scale small --subset-file s3://out/x.npy --plan s3://out/x.plan --eval-every 1M --eval-data-dir s3://sets"
STARTED = f"{POOL} --scale small --init-from openai"
EXTENDED = f"{POOL} --scale small --extend s3://runs/r"
LINES: list[tuple[Any, str, str]] = [
    (
        ScoreSpec,
        "score",
        f"{POOL} --method tmars --score-name n --model ViT-B-32 --pretrained openai --boxes b --plain p",
    ),
    (ScoreSpec, "score", f"{POOL} --method boxes --detector s3://d.onnx"),
    (CaptionSpec, "score", f"{META} --method text_based --language-model cld3 --words s3://w"),
    (CaptionSpec, "score", f"{META} --method text_based --language-model cld3 --wordnet s3://w --synsets s3://s"),
    (CaptionSpec, "score", f"{POOL} --method metaclip --entries s3://e --score-name n"),
    (EmbeddingSpec, "score", f"{OUT} --method image_based --embeddings e --target s3://t --centroids s3://c"),
    (EmbeddingSpec, "score", f"{META} --method negcliploss --score-name n"),
    (EmbeddingSpec, "score", f"{POOL} --method negcliploss --embeddings e"),
    (SubsetSpec, "subset", f"{OUT} --method clip --top 5 --score-name n --subset-name s"),
    (TrainSpec, "train", TRAINED),
    *((TrainSpec, "train", line) for line in (STARTED, EXTENDED)),
    (SweepSpec, "sweep", TRAINED),
    *((SweepSpec, "sweep", line) for line in (STARTED, EXTENDED)),
    (EvalSpec, "eval", f"--data-dir s3://sets --train-dir s3://runs {OUT} --task-dir s3://tasks"),
    (EvalSpec, "eval", f"--data-dir s3://sets {OUT} --model ViT-B-32 --pretrained openai"),
    (ReportSpec, "report", "s3://runs --output s3://out/page.html --baseline s3://runs/none"),
    (PipelineSpec, "pipeline", f"{POOL} --method clip --fraction 0.3 --scale small --eval-data-dir s3://sets"),
    (
        LadderSpec,
        "forecast",
        f"{POOL} --scale small --subset-files s3://out/x.npy --eval-data-dir s3://sets --target-samples 1B",
    ),
]
"""Every flag that names something, with what pods can see."""

SHOWN_AS = {("forecast", "--subset-files"): "--subset-file"}
"""The flag of each run."""

SUFFIXES = {"--output": ".html"}
"""What a flag takes."""

LOCAL = {"url": ("pool", "file:///x", "s3://a::b"), "model": ("/m/w.pt", "weights.pt",
         "lid.176.bin", "local-dir:m"), "scores": ("out/scores/b",)}  # fmt: skip


def with_value(words: list[str], flag: str, text: str) -> list[str]:
    at = words.index(flag) + 1
    return [*words[:at], text, *words[at + 1 :]]


def cases() -> Iterator[tuple[str, list[str], str, str]]:
    for kind, verb, line in LINES:
        words = line.split()
        for each in flat_fields(kind):
            if flag_of(each) in words:
                for text in LOCAL.get(facts_of(each).place or "", ()):
                    yield verb, words, flag_of(each), text + SUFFIXES.get(flag_of(each), "")


@pytest.mark.parametrize(("verb", "words", "flag", "text"), list(cases()), ids=lambda each: str(each)[:16])
def test_what_a_field_names_on_this_machine_is_refused(verb: str, words: list[str], flag: str, text: str) -> None:
    said = refused(verb, *with_value(words, flag, text), smallest=False)
    assert said.startswith(f"{SHOWN_AS.get((verb, flag), flag)} is {text.removeprefix('s3://a::')}, "), said
    assert "on this machine's disk, which pods don't see" in said or "give the name alone" in said


@pytest.mark.parametrize(("verb", "line"), [line[1:] for line in LINES], ids=lambda each: each[:16])
def test_what_pods_see_is_not_refused(verb: str, line: str) -> None:
    result = submit(verb, *line.split(), "-o", "values", smallest=False)
    assert result.exit_code == 0, result.stderr


def test_every_field_that_names_something_stands_in_a_line() -> None:
    for kind in {kind for kind, _, _ in LINES}:
        named = {flag_of(each) for each in flat_fields(kind) if facts_of(each).place in LOCAL}
        words = {word for other, _, line in LINES for word in line.split() if other is kind}
        # The methods of ScoreSpec see images, of which metadata has none; and logs are of every verb.
        # Runs have no flag: they stand for themselves.
        assert named - words - {"RUNS"} <= {"--logs", *(["--from-metadata"] if kind is ScoreSpec else [])}, kind


@pytest.mark.parametrize("verb", ["score", "subset", "train", "sweep", "eval", "report", "pipeline", "forecast"])
def test_logs_are_not_left_in_a_pod(verb: str) -> None:
    assert refused(verb, "--logs", "./logs").startswith("--logs is ./logs, on this machine's disk")


# ---- whatever the facts say: each flag, by hand ----------------------------------------------------------------

PATHS = {
    *("--data-dir", "--output-dir", "--subset-file", "--plan", "--train-dir", "--task-dir", "--eval-data-dir"),
    *("--from-metadata", "--words", "--wordnet", "--synsets", "--entries", "--target", "--centroids", "--detector"),
    *("--model", "--pretrained", "--language-model", "--init-from", "--extend"),
    *("--boxes", "--plain", "--embeddings", "--score-name", "--subset-name", "--logs"),
    *("--subset-files", "--baseline", "--output"),
}
NO_PATH = {
    ("forecast", "--target"),
    ("report", "--target"),
    *((verb, "--output") for verb in verbs() if verb != "report"),
}
"""A scale, and how to print manifests."""
READ_HERE = {"--values", "--defaults", "--kubeconfig", "--env-file", "--pod-overlay"}
"""Their content is sent, not their path."""
ON_NODES = {"--cache-dir"}
"""A folder of each node is what they are for."""
OTHERS = {
    *(
        "--method",
        "--scale",
        "--arch",
        "--model-arch",
        "--tasks",
        "--eval-tasks",
        "--formats",
        "--name",
        "--namespace",
        "--context",
        "--loss-limits",
        "--tag",
        "--track",
    ),
    *("--score", "--subset", "--sweep", "--train", "--eval", "--report"),  # of a pipeline: flags of its steps
    *("--metric", "--published"),
    *("--image", "--image-pull-policy", "--image-pull-secret", "--launcher-image", "--gpu-resource", "--cpu"),
    *("--memory", "--shm-size", "--scratch-size", "--backend", "--queue", "--queue-system", "--priority"),
    *("--priority-class", "--scheduler", "--runtime-class", "--node-selector", "--toleration", "--service-account"),
    *("--storage-secret", "--env", "--secret-env", "--label", "--annotation"),
}


def options(verb: str) -> Iterator[click.Option]:
    command = verbs()[verb]
    for param in (*command.params, *(command.verb.params if isinstance(command, SubmitCommand) else ())):
        if isinstance(param, click.Option):
            yield param


@pytest.mark.parametrize("verb", verbs())
def test_every_flag_that_takes_text_is_known(verb: str) -> None:
    """A new flag must say here what it is; a path among them must be refused, which the next test sees to."""
    no_text = {"integer", "float", "fraction", "boolean", "size", "choice", "integer,...", "float,...", "fraction,..."}
    texts = {option.opts[0] for option in options(verb) if option.type.name not in no_text}
    assert texts <= PATHS | READ_HERE | ON_NODES | OTHERS | {flag for other, flag in NO_PATH if other == verb}


@pytest.mark.parametrize("verb", verbs())
def test_every_path_of_every_verb_is_refused(verb: str) -> None:
    lines = [line.split() for _, other, line in LINES if other == verb]
    paths = PATHS - {"--logs"} - {flag for other, flag in NO_PATH if other == verb}
    for flag in sorted(paths & {option.opts[0] for option in options(verb)}):
        words = next(words for words in lines if flag in words)
        for path in ("./x/weights.pt", "/x/det.onnx"):
            text = path + SUFFIXES.get(flag, "")
            said = refused(verb, *with_value(words, flag, text), smallest=False)
            assert said.startswith(f"{SHOWN_AS.get((verb, flag), flag)} is {text}, "), said


def test_runs_on_this_machine_are_refused() -> None:
    assert refused("report", "runs").startswith("RUNS is runs, on this machine's disk")


def test_folders_of_the_nodes_are_theirs() -> None:
    assert submit("train", "--cache-dir", "/scratch/cache", "-o", "values").exit_code == 0
