"""Rules of both charts, held against the examples that people read."""

import json
import re
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from datascaler.cli.main import cli
from tests.charts.render import (
    EXAMPLES,
    NAMESPACE_CHART,
    ROOT,
    RUN_CHART,
    VALUES,
    chart_of,
    example,
    helm,
    manifests,
    run_helm,
)
from tests.charts.restricted import breaches

CHARTS = [NAMESPACE_CHART, RUN_CHART]
RUNS = [path for path in VALUES if chart_of(path) == RUN_CHART]


def pod_templates(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every pod template, wherever it is in an object."""
    found = []
    for document in documents:
        spec = document.get("spec", {})
        found += [spec["template"]] if "template" in spec else []
        found += [replica["template"] for replica in spec.get("pytorchReplicaSpecs", {}).values()]
    return found


def name_of(path: Path) -> str:
    return path.stem


def test_get_helm_prints_the_same_path_again() -> None:
    path = helm()  # the first call may have to fetch it
    done = subprocess.run([ROOT / "scripts" / "get_helm"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == path
    assert done.stderr == ""


@pytest.mark.parametrize("values", VALUES, ids=name_of)
def test_examples_are_what_the_charts_render(values: Path) -> None:
    kept = (EXAMPLES / values.name).read_text()
    assert kept == example(values), "run `python -m tests.charts.render` and look at the difference"


def test_every_example_has_its_values() -> None:
    assert [path.name for path in sorted(EXAMPLES.glob("*.yaml"))] == [path.name for path in VALUES]


@pytest.mark.parametrize("chart", CHARTS, ids=name_of)
def test_lint_finds_nothing(chart: Path) -> None:
    for values in [[], *(["--values", str(path)] for path in VALUES if chart_of(path) == chart)]:
        done = run_helm("lint", "--strict", chart.relative_to(ROOT), "--kube-version", "1.34.0", *values)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "[WARNING]" not in done.stdout


@pytest.mark.parametrize("values", RUNS, ids=name_of)
def test_commands_parse_with_the_real_command_line(values: Path) -> None:
    for template in pod_templates(manifests(RUN_CHART, values)):
        for container in template["spec"]["containers"]:
            program, *arguments = container["command"]
            assert program == "datascaler"
            command: click.Command = cli
            # `subset` is a group that also works alone.
            while isinstance(command, click.Group) and arguments[0] in command.commands:
                verb, *arguments = arguments
                command = command.commands[verb]
            # Checks every flag, and every value by its type; runs nothing.
            with command.make_context(verb, arguments, parent=click.Context(cli, info_name=program)) as context:
                assert context.params


@pytest.mark.parametrize("values", RUNS, ids=name_of)
def test_pods_satisfy_pod_security_restricted(values: Path) -> None:
    templates = pod_templates(manifests(RUN_CHART, values))
    assert templates
    for template in templates:
        assert breaches(template["spec"]) == []


@pytest.mark.parametrize("values", VALUES, ids=name_of)
def test_examples_hold_no_alias_and_no_anchor(values: Path) -> None:
    tokens = yaml.scan((EXAMPLES / values.name).read_text(), yaml.CSafeLoader)
    assert not [token for token in tokens if isinstance(token, yaml.AnchorToken | yaml.AliasToken)]


@pytest.mark.parametrize("values", VALUES, ids=name_of)
def test_objects_carry_the_usual_labels(values: Path) -> None:
    for document in manifests(chart_of(values), values):
        labels = document["metadata"]["labels"]
        assert labels["app.kubernetes.io/part-of"] == "datascaler"
        assert labels["app.kubernetes.io/managed-by"] == "Helm"
        assert {"helm.sh/chart", "app.kubernetes.io/name", "app.kubernetes.io/instance"} <= set(labels)
        assert document["metadata"]["namespace"] == "default"


@pytest.mark.parametrize("chart", CHARTS, ids=name_of)
def test_values_and_schema_and_readme_name_the_same_keys(chart: Path) -> None:
    """Documented in values.yaml (unset ones as comments), allowed by the schema, listed in the README."""
    text = (chart / "values.yaml").read_text()
    unset = re.sub(r"^( *)# ([a-zA-Z]+: [0-9]+)$", r"\1\2", text, flags=re.MULTILINE)
    documented = leaves(yaml.safe_load(unset))
    schema = json.loads((chart / "values.schema.json").read_text())
    allowed = schema_leaves(schema, schema)
    assert documented == allowed
    readme = (chart / "README.md").read_text()
    assert [key for key in sorted(documented) if f"| `{key}` |" not in readme] == []


@pytest.mark.parametrize("chart", CHARTS, ids=name_of)
def test_every_value_is_read_by_a_template(chart: Path) -> None:
    templates = "".join(path.read_text() for path in (chart / "templates").rglob("*") if path.is_file())
    schema = json.loads((chart / "values.schema.json").read_text())
    keys = {key.rpartition(".")[2] for key in schema_leaves(schema, schema)}
    assert [key for key in sorted(keys) if not re.search(rf"\b{key}\b", templates)] == []


@pytest.mark.parametrize("chart", CHARTS, ids=name_of)
def test_every_value_has_its_comment(chart: Path) -> None:
    lines = (chart / "values.yaml").read_text().splitlines()
    for before, line in pairwise(lines):
        if re.match(r" *[a-zA-Z]+:", line) and not line.rstrip().endswith(":"):
            inside_a_list = line.startswith("      ")
            assert inside_a_list or before.lstrip().startswith("#"), line


def leaves(values: dict[str, Any], path: str = "") -> set[str]:
    found: set[str] = set()
    for key, value in values.items():
        found |= leaves(value, f"{path}{key}.") if isinstance(value, dict) and value else {path + key}
    return found


def schema_leaves(node: dict[str, Any], schema: dict[str, Any], path: str = "") -> set[str]:
    """Keys of maps whose keys are fixed; free maps and lists are leaves."""
    found: set[str] = set()
    for key, child in node["properties"].items():
        while "$ref" in child:
            target: Any = schema
            for step in child["$ref"].removeprefix("#/").split("/"):
                target = target[step]
            child = target
        nested = "properties" in child and path + key not in FREE
        found |= schema_leaves(child, schema, f"{path}{key}.") if nested else {path + key}
    return found


FREE = {"affinity", "defaults", "podOverlay", "podSecurityContext"}
"""Empty by default; their keys are Kubernetes', or those of the other chart."""
