"""Which cluster and namespace are meant: flags, then the kubeconfig's context, then the pod around us."""

from pathlib import Path

import pytest
import yaml

from datascaler.cluster.kube.connect import connect
from datascaler.errors import ClusterError
from tests.cluster.conftest import use_kubeconfig
from tests.cluster.replay import Replay


@pytest.fixture
def two_contexts(kubeconfig: Path) -> Path:
    """A second context, without a namespace, whose server is not there."""
    content = yaml.safe_load(kubeconfig.read_text())
    content["clusters"].append({"name": "away", "cluster": {"server": "http://127.0.0.1:1"}})
    content["contexts"].append({"name": "away", "context": {"cluster": "away", "user": "somebody"}})
    kubeconfig.write_text(yaml.safe_dump(content))
    return kubeconfig


@pytest.mark.usefixtures("two_contexts")
@pytest.mark.parametrize(
    ("namespace", "context", "meant"),
    [
        (None, None, "ml"),
        ("mine", None, "mine"),
        (None, "recorded", "ml"),
        (None, "away", "default"),
        ("mine", "away", "mine"),
    ],
)
def test_the_namespace(namespace: str | None, context: str | None, meant: str) -> None:
    assert connect(namespace, context).namespace == meant


@pytest.mark.usefixtures("two_contexts")
def test_the_context_decides_the_server() -> None:
    assert connect().api.get("/version")["major"] == "1"
    with pytest.raises(ClusterError, match="no answer from the API server http://127"):
        connect(context="away").api.get("/version")


def test_a_kubeconfig_may_be_named(two_contexts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_kubeconfig(monkeypatch, tmp_path / "absent")
    assert connect(kubeconfig=str(two_contexts)).namespace == "ml"


@pytest.mark.usefixtures("two_contexts")
def test_a_context_that_is_not_there() -> None:
    with pytest.raises(
        ClusterError, match=r"no cluster to talk to: .*nowhere.*; give --kubeconfig or --context"
    ) as missing:
        connect(context="nowhere")
    assert "\n" not in str(missing.value)


@pytest.mark.parametrize("text", ["", "a: b: c", "{clusters: []}"])
def test_a_kubeconfig_that_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "config").write_text(text)
    with pytest.raises(ClusterError, match="no cluster to talk to: ") as wrong:
        connect(kubeconfig=str(tmp_path / "config"))
    assert "\n" not in str(wrong.value)


def test_inside_a_pod(server: Replay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a pod has in the place of a kubeconfig: variables, a token, a certificate and a namespace."""
    account = tmp_path / "serviceaccount"
    account.mkdir()
    for name, text in {"token": "secret", "ca.crt": "certificate", "namespace": "team\n"}.items():
        (account / name).write_text(text)
    host, _, port = server.url.removeprefix("http://").partition(":")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
    monkeypatch.setattr("kubernetes.config.incluster_config.SERVICE_TOKEN_FILENAME", str(account / "token"))
    monkeypatch.setattr("kubernetes.config.incluster_config.SERVICE_CERT_FILENAME", str(account / "ca.crt"))
    monkeypatch.setattr("datascaler.cluster.kube.connect._IN_POD", account / "namespace")
    use_kubeconfig(monkeypatch, tmp_path / "absent")
    # A certificate that is none would be refused when the client is made.
    monkeypatch.setattr("kubernetes.client.ApiClient", lambda settings: settings)
    monkeypatch.setattr("datascaler.cluster.kube.connect.Api", lambda settings: settings)
    found = connect()
    assert found.namespace == "team"
    assert found.api.host == f"https://{host}:{port}"  # type: ignore[attr-defined]
    assert connect("mine").namespace == "mine"
