"""Every cluster flag with hostile texts. Many command lines become the runs of one list, which helm renders at once."""

import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from datascaler.cli.submit.cluster_options import FLAGS, ClusterFlag, values_of_flags
from datascaler.cluster.kube.chart_values import merged_values
from datascaler.cluster.kube.helm import as_yaml
from datascaler.cluster.kube.names import RUN, VALUES
from datascaler.cluster.submit.submission import render_submission
from datascaler.errors import ConfigError
from tests.charts.hostile_texts import hostile_texts
from tests.charts.hostile_values import as_pods_see, replaced
from tests.charts.render import RUN_CHART, template
from tests.cli.submitting import SMALLEST, verbs

TAME = "tame0000"
FORMS: dict[str, tuple[str, ...]] = {
    "--node-selector": ("TEXT=b", "a/b=TEXT"),
    "--toleration": ("TEXT", "TEXT=v:NoSchedule", "k=TEXT", "k=v:TEXT"),
    "--env-file": ("A=TEXT", "TEXT=b"),
    "--env": ("A=TEXT", "TEXT=b"),
    "--secret-env": ("TEXT=s:k", "A=TEXT:k", "A=s:TEXT"),
    "--label": ("TEXT=b", "a/b=TEXT"),
    "--annotation": ("TEXT=b", "a/b=TEXT"),
    "--pod-overlay": ("spec: {hostname: TEXT}", "metadata: {annotations: {TEXT: a}}"),
}
"""Where a text may stand in what is typed."""
FILES = {"--env-file", "--pod-overlay"}
"""What is typed names a file, in which the text is."""
TAMES = {
    **dict.fromkeys(("--memory", "--shm-size", "--scratch-size"), "7919Gi"),
    "--cpu": "7919m",
    "--gpu-resource": f"a.b/{TAME}",
    "--image-pull-policy": "Always",
    "--queue-system": "kueue",
    "--backend": "pytorchjob",
}
"""In place of TAME where the chart wants another kind of text."""
KINDS = {"sweep": "train", "forecast": "pipeline"}


@dataclass(frozen=True, slots=True)
class Line:
    """One flag of a command line."""

    flag: ClusterFlag
    form: str
    text: str
    verb: str

    @property
    def tame(self) -> "Line":
        return Line(self.flag, self.form, _tame(self.flag), self.verb)

    def values(self, folder: Path) -> dict[str, Any]:
        """What it stands for. Raises click's errors and ConfigError."""
        text = as_yaml(self.text) if self.flag.name == "--pod-overlay" else self.text
        typed = self.form.replace("TEXT", text)
        if self.flag.name in FILES:
            (folder / "file").write_bytes(typed.encode("utf-8", "surrogatepass"))
            typed = str(folder / "file")
        needed = SMALLEST[self.verb] if self.verb in ("pipeline", "forecast") else []
        context = verbs()[self.verb].make_context(self.verb, [*needed, self.flag.name, typed])
        assert context.args == []
        values = values_of_flags(context.params)
        as_yaml(values)
        return values


def try_flags(folder: Path, seed: int, texts: int) -> set[str]:
    """The flags of which some text was rendered. Each flag has so many texts in every place where one may stand."""
    drawn = random.Random(seed)
    runs: dict[str, tuple[Line, dict[str, Any]]] = {}
    for number, line in enumerate(_lines(drawn, texts)):
        try:
            values = line.values(folder)
        except (click.UsageError, ConfigError):
            continue
        runs[f"run-{number:05d}"] = line, _run(line, values)
    refused = _refused_by_chart(runs)
    runs = {name: run for name, run in runs.items() if name not in refused}
    tame = {name: _run(line.tame, line.tame.values(folder)) for name, (line, _) in runs.items()}
    found, wanted = _objects({name: run for name, (_, run) in runs.items()}), _objects(tame)
    for name, (line, run) in runs.items():
        [recorded] = {each["metadata"]["annotations"].pop(VALUES) for each in found[name] if _has_record(each)}
        assert json.loads(recorded) == {"name": name, **run}, line
        for each in filter(_has_record, wanted[name]):
            del each["metadata"]["annotations"][VALUES]
        if _is_number(line.flag):  # which is in several places
            continue
        expected = replaced(as_pods_see(wanted[name]), {line.tame.text: line.text})
        assert as_pods_see(found[name]) == expected, line
    return {line.flag.name for line, _ in runs.values()}


def _lines(drawn: random.Random, texts: int) -> Iterator[Line]:
    for flag in FLAGS:
        if flag.type is bool:
            continue
        for form in FORMS.get(flag.name, ("TEXT",)):
            tame = _tame(flag)
            for text in (tame, *hostile_texts(drawn, texts, tame)):
                line = Line(flag, form, text, drawn.choice(flag.verbs))
                if _is_one_text(line):
                    yield line


def _is_number(flag: ClusterFlag) -> bool:
    return flag.type is not str and flag.name not in FILES


def _tame(flag: ClusterFlag) -> str:
    return "1" if _is_number(flag) else TAMES.get(flag.name, TAME)


def _is_one_text(line: Line) -> bool:
    """Whether the text is not several by the flag's own rules."""
    separators = {"--toleration": "=:", "--secret-env": "=:", "--image": ":@", "--launcher-image": ":@"}
    letters = separators.get(line.flag.name, "=" if line.form.startswith("TEXT=") else "")
    if line.flag.name == "--env-file":
        letters += "\r\n"
        # Blanks before a name are none of it, and a line may be a comment.
        if line.form.startswith("TEXT") and (line.text[:1].isspace() or line.text.startswith(("#", "\ufeff"))):
            return False
    return not set(letters) & set(line.text) and "\0" not in line.text[: 1 if line.flag.name in FILES else None]


def _run(line: Line, values: dict[str, Any]) -> dict[str, Any]:
    run = {"kind": KINDS.get(line.verb, line.verb), "command": ["datascaler", line.verb]}
    return merged_values(run, {"queue": {"name": "a"}} if line.flag.name == "--priority" else {}, values)


def _refused_by_chart(runs: dict[str, tuple[Line, dict[str, Any]]]) -> set[str]:
    """The runs that the schema or a check refuses, each by the name of its value."""
    refused: set[str] = set()
    while True:
        left = [name for name in runs if name not in refused]
        done = template(RUN_CHART, {"runs": [{"name": name, **runs[name][1]} for name in left]})
        if done.returncode == 0:
            return refused
        named = {left[int(number)]: path for number, path in re.findall(r"'/runs/(\d+)/([^/']+)", done.stderr)}
        named |= dict(re.findall(r"run (run-\d{5}): (\w+)", done.stderr))
        assert named, done.stderr
        for name, key in named.items():
            assert runs[name][0].flag.key.split(".")[0] == key, done.stderr
        refused |= named.keys()


def _objects(runs: dict[str, dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """run name -> its objects, rendered as a submit does."""
    found: dict[str, list[dict[str, Any]]] = {}
    values = {"runs": [{"name": name, **run} for name, run in runs.items()]}
    for each in render_submission("hostile", "default", values).objects:
        found.setdefault(each["metadata"]["labels"][RUN], []).append(each)
    return found


def _has_record(each: dict[str, Any]) -> bool:
    return VALUES in each["metadata"].get("annotations", {})
