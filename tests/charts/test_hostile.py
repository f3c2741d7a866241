"""Texts that would be more than texts: each value of the charts is rendered as it is, or refused by its name."""

import copy
import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.charts.render import NAMESPACE_CHART, RUN_CHART, template

LINES = ("a\n  hostNetwork: true", "a\nhostPID: true\n", "x: y", "- a", "{a: b}", "[a]", "*a", "&a b", "!!binary a")
WORDS = (
    "a # b",
    "'",
    '"',
    "\\",
    "true",
    "null",
    "~",
    "1e3",
    "0x10",
    "2026-01-01",
    " ",
    "{{ .Values }}",
    "%a",
    "@a",
)
ODD = ("$(HOME)", "$$", "$$(X)", "$", "dol$lar", "\x1b[2J", "\u2028", "\t", "é", "🙂", "|", ">-", "---", "a: |\n  b")
HOSTILE = LINES + WORDS + ODD

KEY = "a.b/c"
RUN: dict[str, Any] = {
    "kind": "train", "name": "ok", "command": ["datascaler", "train", "MARK1"], "logs": "MARK2",
    "env": {"FREE": "MARK3", "REF": {"secretKeyRef": {"name": "MARK4", "key": "MARK5"}}},
    "image": {"repository": "MARK6", "tag": "MARK7"}, "imagePullSecrets": [{"name": "MARK8"}],
    "serviceAccountName": "MARK9", "schedulerName": "MARK10", "priorityClassName": "MARK11",
    "runtimeClassName": "MARK12", "queue": {"system": "volcano", "name": "MARK13"},
    "nodeSelector": {KEY: "MARK14"}, "tolerations": [{"key": "MARK15", "operator": "Equal", "value": "MARK16"}],
    "storage": {"secretName": "MARK17"}, "labels": {KEY: "MARK18"}, "annotations": {KEY: "MARK19"},
    "podLabels": {KEY: "MARK20"}, "podAnnotations": {KEY: "MARK21"},
    "volumes": [{"name": "MARK22", "emptyDir": {}}], "volumeMounts": [{"name": "MARK23", "mountPath": "MARK24"}],
    "envFrom": [{"prefix": "MARK25", "configMapRef": {"name": "MARK26"}}],
    "podOverlay": {"metadata": {"annotations": {KEY: "MARK27"}}},
}  # fmt: skip
NAMESPACE: dict[str, Any] = {
    "workerServiceAccount": {"name": "MARK1", "annotations": {KEY: "MARK2"}},
    "launcherServiceAccount": {"name": "MARK3"}, "launcherImage": {"repository": "MARK4", "tag": "MARK5"},
    "rbac": {"subjects": [{"kind": "User", "name": "MARK6"}, {"kind": "ServiceAccount", "name": "x",
              "namespace": "MARK7"}]},
    "storage": {"secretName": "MARK8", "env": {"FREE": "MARK9"}},
    "doctor": {"dataDir": "MARK10", "outputDir": "MARK11"},
    "localQueue": {"create": True, "name": "MARK12", "clusterQueue": "MARK13"}, "commonLabels": {KEY: "MARK14"},
    "networkPolicy": {"create": True, "egress": [{"to": "MARK16"}]},
    "defaults": {"schedulerName": "MARK17", "priorityClassName": "MARK18"},
}  # fmt: skip
TAKEN = {RUN_CHART: RUN, NAMESPACE_CHART: NAMESPACE}
LITERAL = {RUN_CHART: {"MARK1", "MARK2", "MARK3"}, NAMESPACE_CHART: {"MARK9", "MARK10", "MARK11"}}
"""Where Kubernetes expands `$(X)` and `$$`, so that the chart escapes."""
FREE = {RUN_CHART: {"MARK1", "MARK3", "MARK19"}, NAMESPACE_CHART: {"MARK2", "MARK9", "MARK16"}}
"""What takes any text."""


def marks(value: Any) -> list[str]:
    return sorted(set(re.findall(r"MARK\d+", json.dumps(value))), key=lambda mark: int(mark[4:]))


def filled(value: Any, texts: dict[str, str]) -> Any:
    """With texts in the places of marks, which may stand inside of others."""
    if isinstance(value, dict):
        return {filled(key, texts): filled(each, texts) for key, each in value.items()}
    if isinstance(value, list):
        return [filled(each, texts) for each in value]
    return re.sub(r"MARK\d+", lambda found: texts.get(found[0], found[0]), value) if isinstance(value, str) else value


def objects(chart: Path, values: Any) -> tuple[str, list[Any]]:
    """What is said against the values, and what becomes of them."""
    done = template(chart, values)
    return done.stderr, list(yaml.load_all(done.stdout, yaml.CSafeLoader)) if done.returncode == 0 else []


def expanded(value: Any) -> Any:
    """As Kubernetes expands commands and variables whose names it does not know."""
    if isinstance(value, dict):
        return {key: expanded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [expanded(each) for each in value]
    return value.replace("$$", "$") if isinstance(value, str) else value


def tame(chart: Path) -> dict[str, str]:
    """A text for each mark that no rule refuses."""
    return {mark: mark.lower() for mark in marks(TAKEN[chart])}


def told_apart(found: Any) -> Any:
    """The defaults are a text inside of a text."""
    found = copy.deepcopy(found)
    for each in found:
        if each and each["kind"] == "ConfigMap":
            each["data"]["values.yaml"] = yaml.safe_load(each["data"]["values.yaml"])
    return found


ROUNDS = 5


@pytest.mark.parametrize("chart", TAKEN, ids=lambda chart: chart.name)
def test_what_is_not_refused_is_rendered_as_it_is(chart: Path) -> None:
    """Each value draws a text; one rendering tells what rules refuse, and another renders the others at once."""
    values, drawn = TAKEN[chart], random.Random(chart.name)
    _, wanted = objects(chart, filled(values, tame(chart)))
    assert wanted
    rendered: set[str] = set()
    for number in range(ROUNDS):
        texts = {mark: "".join(drawn.sample(HOSTILE, 1 + number % 2)) for mark in marks(values)}
        said, _ = objects(chart, filled(values, tame(chart) | texts))
        texts = {mark: text for mark, text in texts.items() if not is_named(mark, values, said)}
        said, found = objects(chart, filled(values, tame(chart) | texts))
        assert found, (said, texts)
        rendered |= texts.keys()
        by_mark = {
            mark.lower(): text if mark in LITERAL[chart] else str(expanded(text)) for mark, text in texts.items()
        }
        assert expanded(told_apart(found)) == with_texts(told_apart(wanted), by_mark), texts
    assert rendered >= FREE[chart]


@pytest.mark.parametrize(
    "key", ["serviceAccountName", "schedulerName", "priorityClassName", "runtimeClassName", "queue", "storage"]
)
def test_a_line_of_its_own_is_refused_by_name(key: str) -> None:
    inner = {"queue": "name", "storage": "secretName"}.get(key)
    text = "a\n  hostNetwork: true"
    said, found = objects(RUN_CHART, {"command": ["x"], key: {inner: text} if inner else text})
    assert not found
    assert f"/{key}" in said or key in said


def is_named(mark: str, values: Any, said: str) -> bool:
    path = path_of_mark(mark, values)
    return path is not None and any(f"'{each}'" in said for each in (path, path.rpartition("/")[0]))


def path_of_mark(mark: str, value: Any, path: str = "") -> str | None:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in pairs:
        if key == mark or each == mark:
            return f"{path}/{str(key).replace('/', '~1')}" if key != mark else f"{path}/{mark}"
        if (found := path_of_mark(mark, each, f"{path}/{str(key).replace('/', '~1')}")) is not None:
            return found
    return None


def with_texts(value: Any, by_mark: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {with_texts(key, by_mark): with_texts(each, by_mark) for key, each in value.items()}
    if isinstance(value, list):
        return [with_texts(each, by_mark) for each in value]
    return re.sub(r"mark\d+", lambda found: by_mark.get(found[0], found[0]), value) if isinstance(value, str) else value
