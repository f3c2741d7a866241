"""A run's spec and its words -> values of the chart: one pure function a kind of run.

Science flags stay in the command, word for word: what `kubectl describe` shows can be pasted into a shell.
"""

import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from datascaler.cluster.kube.chart_values import Values
from datascaler.errors import ConfigError
from datascaler.safe_text import redacted
from datascaler.spec.evaluate import EvalSpec
from datascaler.spec.field import Place, facts_of, flag_of, flat_items
from datascaler.spec.ladder import LadderGrid, LadderSpec, ladder_arguments
from datascaler.spec.pipeline import PipelineSpec
from datascaler.spec.report import ReportSpec
from datascaler.spec.score import ScorePart
from datascaler.spec.subset import SubsetSpec
from datascaler.spec.sweep import SweepSpec, point_arguments
from datascaler.spec.train import TrainSpec


def score_values(name: str, words: Sequence[str], spec: ScorePart, logs: str | None = None) -> Values:
    return _one(name, "score", words, logs or _logs_in(spec.output_dir)) | {"completions": spec.count}


def eval_values(name: str, words: Sequence[str], spec: EvalSpec, logs: str | None = None) -> Values:
    folder = spec.output_dir or spec.train_dir
    assert folder is not None
    return _one(name, "eval", words, logs or _logs_in(folder)) | {"completions": spec.count}


def subset_values(name: str, words: Sequence[str], spec: SubsetSpec, logs: str | None = None) -> Values:
    return _one(name, "subset", words, logs or _logs_in(spec.output_dir))


def train_values(name: str, words: Sequence[str], spec: TrainSpec, logs: str | None = None) -> Values:
    return _one(name, "train", words, logs or _logs_in(spec.output_dir))


def sweep_values(name: str, words: Sequence[str], spec: SweepSpec, logs: str | None = None) -> Values:
    """One train run a point of the grid, all in one release. words: those that the points share."""
    return _list_of_runs(name, words, [(point, point_arguments(point, spec.varied)) for point in spec.points], logs)


def ladder_values(name: str, words: Sequence[str], spec: LadderGrid, logs: str | None = None) -> Values:
    """The same of a ladder."""
    return _list_of_runs(name, words, [(point, ladder_arguments(point)) for point in spec.points], logs)


def report_values(name: str, words: Sequence[str], spec: ReportSpec, logs: str | None = None) -> Values:
    return _one(name, "report", words, logs or _logs_in(posixpath.dirname(spec.output)))


def pipeline_values(
    name: str, words: Sequence[str], spec: PipelineSpec | LadderSpec, logs: str | None = None
) -> Values:
    """The driver: this very submit with --wait, in a pod."""
    verb = "forecast" if isinstance(spec, LadderSpec) else "pipeline"
    values = _one(name, "pipeline", words, logs or spec.logs_dir)
    return values | {"command": ["datascaler", "submit", verb, "--wait", "--name", name, *words]}


def require_urls(spec: Any, mounted: Sequence[str] = ()) -> None:
    """Pods see object stores and mounted volumes, not this machine's disk.

    mounted: paths at which the pods have volumes.
    """
    for each, value in flat_items(spec):
        place = facts_of(each).place
        for text in value if isinstance(value, tuple) else (value,):
            if place and text:
                require_url(flag_of(each), text, place, mounted)


def refuse_secrets(words: Iterable[str], env: Mapping[str, Any] = MappingProxyType({})) -> None:
    """A manifest is read by everybody who may list pods, and kept in the run's record."""
    for word in words:
        if redacted(word) != word:
            raise ConfigError(
                f"{word} holds a secret, which everybody could read in the manifest: put it into a Secret of the "
                "cluster, and give --storage-secret or --secret-env"
            )
    for name, value in env.items():
        if isinstance(value, str) and redacted(value) != value:
            raise ConfigError(
                f"--env {name}: its value is a secret, which everybody could read in the manifest: put it into a "
                f"Secret of the cluster, and give --secret-env {name}=SECRET:KEY"
            )


def require_url(flag: str, text: str, place: Place = "url", mounted: Sequence[str] = ()) -> None:
    if place == "scores" and "/" in text:
        raise ConfigError(f"{flag} is {text}, a path; give the name alone, which is looked for in --output-dir")
    if place in ("scores", "node"):
        return
    for part in text.split("::"):
        if _is_elsewhere(part, is_model=place == "model"):
            continue
        path = posixpath.normpath(part.removeprefix("local-dir:").removeprefix("file://"))
        if any(f"{path}/".startswith(folder.rstrip("/") + "/") for folder in mounted):
            continue
        raise ConfigError(
            f"{flag} is {part}, on this machine's disk, which pods don't see; copy it to object storage "
            "and give its URL, or mount a volume there (volumes and volumeMounts in --values)"
        )


def _is_elsewhere(text: str, *, is_model: bool) -> bool:
    if not text or ("://" in text and not text.startswith("file://")):
        return True
    # openai, ViT-B-32, cld3, hf-hub:org/name: words for models, not paths; weights.pt is a path.
    is_path = "/" in text or text.startswith("local-dir:") or re.search(r"\.[A-Za-z]\w*$", text)
    return is_model and (text.startswith("hf-hub:") or not is_path)


def _one(name: str, verb: str, words: Sequence[str], logs: str) -> Values:
    return {"kind": verb, "name": name, "command": ["datascaler", verb, *words], "logs": f"{logs.rstrip('/')}/{name}"}


def _list_of_runs(
    name: str, words: Sequence[str], points: Sequence[tuple[TrainSpec, list[str]]], logs: str | None
) -> Values:
    """Training runs, each with words of its own after those that all have."""
    digits = len(str(len(points) - 1))
    runs = [
        train_values(f"{name}-{number:0{digits}}", [*words, *own], point, logs)
        for number, (point, own) in enumerate(points)
    ]
    return {"kind": "train", "runs": [{key: run[key] for key in ("name", "command", "logs")} for run in runs]}


def _logs_in(folder: str) -> str:
    return f"{folder.rstrip('/')}/logs"
