"""The recorded API server, the real client to it, and a kubeconfig that names it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from datascaler.cluster.kube.api import Api
from tests.charts.render import helm
from tests.cluster.replay import Answer, Query, Replay, recorded_run, serving
from tests.cluster.submitting import JOBS, jobs


@pytest.fixture
def server() -> Iterator[Replay]:
    """With nothing in it yet, and no training operator."""
    with serving(Replay()) as replay:
        yield replay


@pytest.fixture
def api(server: Replay) -> Api:
    settings = client.Configuration()
    settings.host = server.url
    return Api(client.ApiClient(settings))


@pytest.fixture
def kubeconfig(server: Replay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """$KUBECONFIG names it, and its namespace is that of the recorded runs."""
    path = tmp_path / "kubeconfig"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "recorded", "cluster": {"server": server.url}}],
        "users": [{"name": "somebody", "user": {}}],
        "contexts": [{"name": "recorded", "context": {"cluster": "recorded", "user": "somebody", "namespace": "ml"}}],
        "current-context": "recorded",
    }
    path.write_text(yaml.safe_dump(content))
    use_kubeconfig(monkeypatch, path)
    return path


def use_kubeconfig(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """Here and in child processes: the client reads the variable once, when it is imported."""
    monkeypatch.setenv("KUBECONFIG", str(path))
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(path))


@pytest.fixture
def real_helm(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("DATASCALER_HELM", helm())
    return helm()


@pytest.fixture
def ends(server: Replay) -> Callable[[str, str], None]:
    """`ends(run, how)`: when the run is looked at, it has ended as the recorded one did."""
    ways: dict[str, str] = {}

    def answer(_method: str, path: str, _query: Query, _body: Any) -> Answer | None:
        for name, job in jobs(server).items() if path == JOBS else ():
            how = ways.get(name) or ways.get("*")
            if how and "status" not in job:
                job["status"] = recorded_run(how)["run"]["status"]
        return None

    server.answers.append(answer)
    return ways.__setitem__
