"""The charts by helm alone: installed, tested, and gone without a trace."""

import json
import subprocess
import uuid
from pathlib import Path

import pytest

from datascaler import storage
from tests.charts.render import NAMESPACE_CHART, RUN_CHART, helm
from tests.e2e.cluster import Cluster
from tests.e2e.data import Data
from tests.e2e.launcher import Launcher
from tests.e2e.site import Site
from tests.e2e.until import until

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("operator")]


def run_helm(place: Site, namespace: str, *arguments: str, code: int = 0) -> str:
    command = [helm(), f"--kubeconfig={place.kubeconfig}", f"--namespace={namespace}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_lint_is_strict(place: Site) -> None:
    for chart in (NAMESPACE_CHART, RUN_CHART):
        assert "0 chart(s) failed" in run_helm(place, "default", "lint", "--strict", str(chart))


def test_helm_test_asks_the_doctor(place: Site, launcher: Launcher) -> None:
    said = run_helm(place, launcher.namespace, "test", "datascaler", "--logs", "--timeout", "5m")
    assert "Phase:          Succeeded" in said
    assert "ok    rights" in said


def test_the_namespace_chart_comes_and_goes(place: Site, cluster: Cluster, tmp_path: Path) -> None:
    name = f"e2e-chart-{uuid.uuid4().hex[:6]}"
    cluster.kubectl("create", "namespace", name)
    try:
        values = tmp_path / "values.json"
        values.write_text(json.dumps(place.values))
        run_helm(place, name, "install", "furniture", str(NAMESPACE_CHART), "--values", str(values))
        assert objects_of(cluster, name, "furniture")
        run_helm(place, name, "uninstall", "furniture", "--wait")
        until(lambda: not objects_of(cluster, name, "furniture"), "nothing is left")
        refused = run_helm(place, name, "install", "wrong", str(NAMESPACE_CHART), "--set", "rbac.creat=true", code=1)
        assert "creat" in refused
    finally:
        cluster.kubectl("delete", "namespace", name, "--wait=false")


def test_a_run_by_helm_alone(place: Site, cluster: Cluster, launcher: Launcher, data: Data, tmp_path: Path) -> None:
    """What `submit -o values` prints is all that helm needs."""
    out = storage.join(data.url, "by-helm")
    science = ["--data-dir", data.pool, "--output-dir", out, "--method", "dfn", "--pretrained", data.filter_run]
    printed = launcher("submit", "score", *science, "--name", "by-helm", "--dry-run=server", "-o", "values").out
    values = tmp_path / "values.yaml"
    values.write_text(printed)
    run_helm(place, launcher.namespace, "install", "by-helm", str(RUN_CHART), "--values", str(values))
    launcher("wait", "by-helm", "--timeout", "600")
    run_helm(place, launcher.namespace, "test", "by-helm")
    run_helm(place, launcher.namespace, "uninstall", "by-helm", "--wait")
    until(lambda: cluster.left(launcher.namespace, "by-helm") == [], "nothing is left")
    refused = run_helm(
        place,
        launcher.namespace,
        "install",
        "wrong",
        str(RUN_CHART),
        "--values",
        str(values),
        "--set",
        "gpus=1",
        code=1,
    )
    assert "gpus" in refused


def objects_of(cluster: Cluster, namespace: str, release: str) -> list[str]:
    """Everything of every namespaced kind that carries the release's name."""
    kinds = cluster.kubectl("api-resources", "--namespaced", "--verbs=list,delete", "-o", "name").split()
    selector = f"app.kubernetes.io/instance={release}"
    found = cluster.kubectl("get", ",".join(kinds), "-n", namespace, "-l", selector, "-o", "name", "--ignore-not-found")
    return found.split()
