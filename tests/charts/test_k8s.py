"""k8s/: the operator's pin, the S3 server and the kind cluster agree with each other and with Pod Security."""

import re
import subprocess
from typing import Any

import pytest
import yaml

from tests.charts.render import NAMESPACE_CHART, ROOT, manifests
from tests.charts.restricted import breaches

K8S = ROOT / "k8s"


def load(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((K8S / name).read_text()))


def test_the_operator_is_the_version_that_the_tests_build() -> None:
    [kustomization] = load("training-operator/kustomization.yaml")
    [base] = kustomization["resources"]
    modules = (ROOT / "tests" / "cluster" / "tools" / "operator" / "go.mod").read_text()
    built = re.search(r"github.com/kubeflow/training-operator (v\S+)", modules)
    assert built
    assert base.endswith(f"?ref={built[1]}")


def test_the_s3_server_satisfies_pod_security_restricted() -> None:
    [deployment] = [each for each in load("s3.yaml") if each["kind"] == "Deployment"]
    assert breaches(deployment["spec"]["template"]["spec"]) == []


def test_the_laptop_reaches_the_s3_server() -> None:
    [service] = [each for each in load("s3.yaml") if each["kind"] == "Service"]
    [cluster] = load("kind.yaml")
    [mapping] = cluster["nodes"][0]["extraPortMappings"]
    assert mapping["containerPort"] == service["spec"]["ports"][0]["nodePort"]
    assert mapping["listenAddress"] == "127.0.0.1"
    up = (ROOT / "scripts" / "kind_up.sh").read_text()
    assert f"AWS_ENDPOINT_URL=http://127.0.0.1:{mapping['hostPort']} " in up
    assert f"AWS_ENDPOINT_URL=http://s3.storage:{service['spec']['ports'][0]['port']} " in up


def test_the_values_for_kind_are_values_of_the_chart() -> None:
    assert manifests(NAMESPACE_CHART, K8S / "kind-values.yaml")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--namespace is required"),
        (["--namespaces=a"], "unknown flag --namespaces"),
        (["--namespace"], "--namespace is no flag, or has no value"),
    ],
)
def test_cluster_install_names_what_is_wrong_and_touches_nothing(arguments: list[str], message: str) -> None:
    command = [str(ROOT / "scripts" / "cluster_install.sh"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert message in done.stderr
