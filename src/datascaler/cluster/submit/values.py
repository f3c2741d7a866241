"""A verb and its flags -> values of the chart: one pure function a kind of run.

Science flags stay in the command, word for word: what `kubectl describe` shows can be pasted into a shell.
"""

import posixpath
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

from datascaler.cluster.kube.chart_values import Values
from datascaler.errors import ConfigError
from datascaler.spec.sweep import grid
from datascaler.spec.train import TrainSpec

SWEPT_FLAGS = ("--lrs", "--weight-decays", "--warmups")
_PATHS = (
    *("data_dir", "output_dir", "subset_file", "plan_file", "train_dir", "task_dir"),
    *("from_metadata", "words", "wordnet", "synsets", "entries", "target", "centroids"),
)
"""Flags whose values are files or folders."""
_MODELS = ("pretrained", "model", "language_model")
"""Flags whose values are files, or words that name a model."""


def score_values(name: str, arguments: Sequence[str], params: Mapping[str, Any]) -> Values:
    if not any(params.get(source) for source in ("data_dir", "from_metadata", "embeddings")):
        raise ConfigError("Missing option '--data-dir', or --from-metadata or --embeddings where the method takes them")
    return _shared_values("score", name, arguments, params)


def eval_values(name: str, arguments: Sequence[str], params: Mapping[str, Any]) -> Values:
    is_model = params["model"] is not None or params["pretrained"] is not None
    if (params["train_dir"] is None) is not is_model:
        raise ConfigError("give either --train-dir, or --model and --pretrained")
    if is_model and params["output_dir"] is None:
        raise ConfigError("evaluating a model that is not a run needs --output-dir")
    return _shared_values("eval", name, arguments, params)


def subset_values(name: str, arguments: Sequence[str], params: Mapping[str, Any]) -> Values:
    return _one(name, "subset", ["datascaler", "subset", *arguments], params)


def train_values(name: str, arguments: Sequence[str], params: Mapping[str, Any]) -> Values:
    return _one(name, "train", ["datascaler", "train", *arguments], params)


def sweep_values(name: str, arguments: Sequence[str], params: Mapping[str, Any], base: TrainSpec) -> Values:
    """One train run a point of the grid, all in one release."""
    points = grid(base, params["lrs"] or (), params["weight_decays"] or (), params["warmups"] or ())
    shared = without_flags(arguments, SWEPT_FLAGS)
    digits = len(str(len(points) - 1))
    runs = []
    for number, point in enumerate(points):
        # Every digit: a run is found again only if its numbers are the same.
        own = ["--lr", str(point.lr), "--weight-decay", str(point.weight_decay)]
        own += ["--warmup", str(point.warmup_steps)]
        runs.append(_one(f"{name}-{number:0{digits}}", "train", ["datascaler", "train", *shared, *own], params))
    return {"kind": "train", "runs": [{key: run[key] for key in ("name", "command", "logs")} for run in runs]}


def pipeline_values(name: str, arguments: Sequence[str], params: Mapping[str, Any]) -> Values:
    """The driver: this very submit with --wait, in a pod."""
    command = ["datascaler", "submit", "pipeline", "--wait", "--name", name, *arguments]
    return _one(name, "pipeline", command, params)


def without_flags(arguments: Sequence[str], flags: Sequence[str]) -> list[str]:
    """The arguments without these flags and their values, however they are written."""
    kept, may_be_value = [], False
    for word in arguments:
        flag, equals, _ = word.partition("=")
        if flag.replace("_", "-") in flags:
            may_be_value = not equals
        elif may_be_value and not word.startswith("--"):
            may_be_value = False
        else:
            may_be_value = False
            kept.append(word)
    return kept


def flag_value(arguments: Sequence[str], name: str) -> str | None:
    """What the arguments say after a flag, however it is written."""
    for word, following in zip_longest(arguments, arguments[1:], fillvalue=""):
        flag, equals, value = word.partition("=")
        if flag.replace("_", "-") == name:
            return value if equals else following
    return None


def flags_in(arguments: Sequence[str]) -> list[str]:
    """The names of the flags that the arguments have."""
    return [word.partition("=")[0].replace("_", "-") for word in arguments if word.startswith("--")]


def require_urls(params: Mapping[str, Any], mounted: Sequence[str] = ()) -> None:
    """Pods see object stores and mounted volumes, not this machine's disk.

    mounted: paths at which the pods have volumes.
    """
    for name in (*_PATHS, *_MODELS):
        for part in str(params.get(name) or "").split("::"):
            if _is_elsewhere(part, is_model=name in _MODELS):
                continue
            path = posixpath.normpath(part.removeprefix("local-dir:").removeprefix("file://"))
            if any(f"{path}/".startswith(folder.rstrip("/") + "/") for folder in mounted):
                continue
            flag = {"plan_file": "plan"}.get(name, name).replace("_", "-")
            raise ConfigError(
                f"--{flag} is {part}, on this machine's disk, which pods don't see; copy it to object storage "
                "and give its URL, or mount a volume there (volumes and volumeMounts in --values)"
            )


def _is_elsewhere(text: str, *, is_model: bool) -> bool:
    if not text or ("://" in text and not text.startswith("file://")):
        return True
    # openai, ViT-B-32, hf-hub:org/name: words of open_clip, not paths.
    return is_model and (text.startswith("hf-hub:") or ("/" not in text and not text.startswith("local-dir:")))


def _shared_values(verb: str, name: str, arguments: Sequence[str], params: Mapping[str, Any]) -> Values:
    values = _one(name, verb, ["datascaler", verb, *arguments], params)
    return values | {"completions": params["count"]}


def _one(name: str, kind: str, command: list[str], params: Mapping[str, Any]) -> Values:
    folder = params.get("output_dir") or params.get("train_dir")
    logs = params.get("logs") or f"{str(folder).rstrip('/')}/logs"
    return {"kind": kind, "name": name, "command": command, "logs": f"{logs.rstrip('/')}/{name}"}
