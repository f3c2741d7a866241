"""Rendering the charts with a real helm. `python -m tests.charts.render` writes `k8s/examples/*.yaml` anew."""

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

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
        [helm(), *arguments, *more], cwd=ROOT, input=json.dumps(values), capture_output=True, text=True, check=False
    )


def template(
    chart: Path, values: dict[str, Any] | Path, name: str = "release", kubernetes: str = KUBERNETES
) -> subprocess.CompletedProcess[str]:
    arguments: list[str | Path] = ["template", name, chart.relative_to(ROOT), "--kube-version", kubernetes]
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
    done = template(chart_of(values), values, values.stem)
    if done.returncode:
        raise RuntimeError(done.stderr)
    first = values.read_text().splitlines()[0]
    chart = chart_of(values).relative_to(ROOT)
    head = (
        f"{first}\n"
        "#\n"
        f"# Rendered by: helm template {values.stem} {chart} --kube-version {KUBERNETES} \\\n"
        f"#   --values {values.relative_to(ROOT)}\n"
        "# Written anew by: python -m tests.charts.render\n"
    )
    # Versions of helm differ in blank lines between documents.
    return head + "".join(line + "\n" for line in done.stdout.splitlines() if line.strip())


if __name__ == "__main__":
    for each in VALUES:
        (EXAMPLES / each.name).write_text(example(each))
