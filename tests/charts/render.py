"""Rendering the charts with a real helm. `python -m tests.charts.render` writes anew what is derived from them.

That is `k8s/examples/*.yaml`, and the rules for a run's values in the schema of the other chart.
"""

import json
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from datascaler.cluster.kube.helm import as_yaml

ROOT = Path(__file__).parent.parent.parent
NAMESPACE_CHART = ROOT / "charts" / "datascaler"
RUN_CHART = ROOT / "charts" / "datascaler-run"
EXAMPLES = ROOT / "k8s" / "examples"
VALUES = sorted((EXAMPLES / "values").glob("*.yaml"))
KUBERNETES = "1.34.0"
"""What is rendered for, so that an example does not change with the helm that made it."""


def helm() -> str:
    """The path of a helm; a failure to get one is an error with its reason."""
    done = _get_helm()
    if done.returncode:
        raise RuntimeError(f"no helm to render the charts with:\n{done.stderr}")
    return done.stdout.strip()


@cache
def _get_helm() -> subprocess.CompletedProcess[str]:
    return subprocess.run([ROOT / "scripts" / "get_helm"], capture_output=True, text=True, check=False)


def run_helm(*arguments: str | Path, values: dict[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
    """`values` go in by stdin, as JSON, which is YAML."""
    more = ["--values", "-"] if values is not None else []
    # Relative chart paths, because messages and lint show them.
    return subprocess.run(
        [helm(), *arguments, *more], cwd=ROOT, input=as_yaml(values), capture_output=True, encoding="utf-8", check=False
    )


def template(
    chart: Path,
    values: dict[str, Any] | Path,
    name: str = "release",
    kubernetes: str = KUBERNETES,
    more: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    arguments: list[str | Path] = ["template", name, chart.relative_to(ROOT), "--kube-version", kubernetes, *more]
    if isinstance(values, Path):
        return run_helm(*arguments, "--values", values.relative_to(ROOT))
    return run_helm(*arguments, values=values)


def manifests(
    chart: Path, values: dict[str, Any] | Path, name: str = "release", kubernetes: str = KUBERNETES
) -> list[dict[str, Any]]:
    """The rendered objects; a refusal is an error with helm's message."""
    done = template(chart, values, name, kubernetes)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return [document for document in yaml.load_all(done.stdout, yaml.CSafeLoader) if document]


def refusal(chart: Path, values: dict[str, Any], name: str = "release") -> str:
    """Helm's message on values that must not render."""
    done = template(chart, values, name)
    assert done.returncode, f"rendered what should be refused: {values}"
    return done.stderr


def chart_of(values: Path) -> Path:
    return NAMESPACE_CHART if values.stem == "namespace" else RUN_CHART


def example(values: Path) -> str:
    """The text of `k8s/examples/NAME.yaml`."""
    chart = chart_of(values)
    # The pod of `helm test` is not for `kubectl apply`.
    more = ["--skip-tests"] if chart == NAMESPACE_CHART else []
    done = template(chart, values, values.stem, more=more)
    if done.returncode:
        raise RuntimeError(done.stderr)
    first = values.read_text().splitlines()[0]
    head = (
        f"{first}\n"
        "#\n"
        f"# Rendered by: helm template {values.stem} {chart.relative_to(ROOT)} --kube-version {KUBERNETES} \\\n"
        f"#   {' '.join(['--values', str(values.relative_to(ROOT)), *more])}\n"
        "# Written anew by: python -m tests.charts.render\n"
    )
    # Versions of helm differ in blank lines between documents.
    return head + "".join(line + "\n" for line in done.stdout.splitlines() if line.strip())


def namespace_schema() -> str:
    """The schema of charts/datascaler: its own keys, and in `defaults` those of a run by the run's own rules.

    They are written out, because a schema of one chart can't refer to that of another.
    """
    schema = json.loads((NAMESPACE_CHART / "values.schema.json").read_text())
    schema["definitions"] = json.loads((RUN_CHART / "values.schema.json").read_text())["definitions"]
    what_it_is = {"kind", "name", "command"}
    keys = [key for key in schema["definitions"]["run"]["properties"] if key not in what_it_is]
    schema["properties"]["defaults"] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {key: {"$ref": f"#/definitions/run/properties/{key}"} for key in keys},
    }
    return json.dumps(schema, indent=2) + "\n"


if __name__ == "__main__":
    (NAMESPACE_CHART / "values.schema.json").write_text(namespace_schema())
    for each in VALUES:
        (EXAMPLES / each.name).write_text(example(each))
