"""charts/datascaler: the pod of `helm test`, which asks what a run would need."""

from typing import Any

from tests.charts.render import NAMESPACE_CHART, manifests
from tests.charts.restricted import breaches
from tests.charts.runs import env_of


def doctor(values: dict[str, Any]) -> dict[str, Any]:
    [pod] = [document for document in manifests(NAMESPACE_CHART, values) if document["kind"] == "Pod"]
    return pod


def test_it_is_a_hook_of_helm_test_and_goes_when_it_has_passed() -> None:
    annotations = doctor({})["metadata"]["annotations"]
    assert annotations["helm.sh/hook"] == "test"
    assert annotations["helm.sh/hook-delete-policy"] == "before-hook-creation,hook-succeeded"


def test_it_has_the_launchers_account_and_image_and_asks_about_this_namespace() -> None:
    spec = doctor({"launcherImage": {"repository": "r/l", "tag": "2"}, "launcherServiceAccount": {"name": "a"}})["spec"]
    assert (spec["serviceAccountName"], spec["automountServiceAccountToken"]) == ("a", True)
    [container] = spec["containers"]
    assert container["image"] == "r/l:2"
    assert container["command"] == ["datascaler", "doctor", "--namespace", "default"]
    assert breaches(spec) == []


def test_it_is_given_what_the_runs_are_given() -> None:
    given: dict[str, Any] = {
        "envFrom": [{"configMapRef": {"name": "proxy"}}],
        "volumes": [{"name": "ca", "configMap": {"name": "ca"}}],
        "volumeMounts": [{"name": "ca", "mountPath": "/ca"}],
        "imagePullSecrets": [{"name": "regcred"}],
        "podSecurityContext": {"runAsUser": 1000},
        "podLabels": {"azure.workload.identity/use": "true"},
        "env": {"HOME": "/ca", "TOKEN": {"secretKeyRef": {"name": "s", "key": "k"}}},
        "launcher": {"nodeSelector": {"pool": "cpu"}, "resources": {"memory": "1Gi"}, "image": {"digest": DIGEST}},
    }
    pod = doctor(
        {
            "storage": {"secretName": "s3", "env": {"AWS_REGION": "eu-central-1"}},
            "doctor": {"dataDir": "s3://b/pool", "outputDir": "s3://b/out"},
            "defaults": given,
        }
    )
    spec = pod["spec"]
    [container] = spec["containers"]
    assert container["command"][4:] == ["--data-dir", "s3://b/pool", "--output-dir", "s3://b/out"]
    assert container["image"] == f"datascaler-launcher@{DIGEST}"
    assert container["envFrom"] == [{"secretRef": {"name": "s3"}}, *given["envFrom"]]
    assert env_of(spec) == {
        "AWS_REGION": "eu-central-1",
        "HOME": "/ca",
        "TOKEN": {"secretKeyRef": {"name": "s", "key": "k"}},
        "USER": "datascaler",
    }
    assert given["volumes"][0] in spec["volumes"]
    assert given["volumeMounts"][0] in container["volumeMounts"]
    assert container["resources"] == {"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"memory": "1Gi"}}
    assert spec["nodeSelector"] == {"pool": "cpu"}
    assert spec["imagePullSecrets"] == given["imagePullSecrets"]
    assert spec["securityContext"]["runAsUser"] == 1000
    assert pod["metadata"]["labels"]["azure.workload.identity/use"] == "true"
    # The network policy lets it out by this one.
    assert pod["metadata"]["labels"]["app.kubernetes.io/part-of"] == "datascaler"


DIGEST = "sha256:" + "0" * 64
