"""charts/datascaler: what a namespace gets."""

import json
from typing import Any

import pytest
import yaml

from datascaler.cluster.watch.doctor import _NEEDED
from tests.charts.render import EXAMPLES, NAMESPACE_CHART, RUN_CHART, manifests, namespace_schema, refusal


def kinds(values: dict[str, Any]) -> list[str]:
    return sorted(document["kind"] for document in manifests(NAMESPACE_CHART, values))


def one(kind: str, values: dict[str, Any]) -> dict[str, Any]:
    return next(document for document in manifests(NAMESPACE_CHART, values) if document["kind"] == kind)


def defaults(values: dict[str, Any]) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(one("ConfigMap", values)["data"]["values.yaml"])
    return loaded


def test_what_is_optional_is_off_by_default() -> None:
    assert kinds({}) == ["ConfigMap", "Pod", "Role", "RoleBinding", "ServiceAccount", "ServiceAccount"]
    everything = {
        "localQueue": {"create": True, "clusterQueue": "gpus"},
        "networkPolicy": {"create": True},
        "resourceQuota": {"hard": {"requests.nvidia.com/gpu": 2_000_000}},
    }
    assert set(kinds(everything)) - set(kinds({})) == {"LocalQueue", "NetworkPolicy", "ResourceQuota"}
    assert one("ResourceQuota", everything)["spec"]["hard"] == {"requests.nvidia.com/gpu": "2000000"}


def test_accounts_that_exist_are_not_made() -> None:
    off = {"workerServiceAccount": {"create": False, "name": "theirs"}, "launcherServiceAccount": {"create": False}}
    assert kinds(off) == ["ConfigMap", "Pod", "Role", "RoleBinding"]
    assert defaults(off)["serviceAccountName"] == "theirs"


LOOK = {"get", "list", "watch"}
RUNS = LOOK | {"create", "patch", "delete"}
MAY = {
    "jobs": RUNS,
    "pytorchjobs": RUNS - {"patch"},
    "pytorchjobs/scale": {"get", "patch"},
    "services": {"get", "list", "create", "delete"},
    "pods/log": {"get"},
    "configmaps": {"get"},
    "serviceaccounts": {"get"},
    "pods": LOOK,
    "events": LOOK,
    "workloads": LOOK,
    "localqueues": LOOK,
    "podgroups": LOOK,
}
"""All that the Role grants: neither Secrets nor a way to make a pod but through a run."""


def test_the_role_grants_what_the_verbs_need_and_no_more_and_the_worker_nothing() -> None:
    rules = one("Role", {})["rules"]
    granted = {resource: set(rule["verbs"]) for rule in rules for resource in rule["resources"]}
    assert granted == MAY
    assert sum(len(rule["resources"]) for rule in rules) == len(MAY)
    named = {rule["resources"][0]: rule["resourceNames"] for rule in rules if "resourceNames" in rule}
    assert named == {
        "configmaps": ["datascaler-defaults"],
        "serviceaccounts": ["datascaler-worker", "datascaler-launcher"],
    }
    assert [what for what, verbs in _NEEDED.items() if not set(verbs) <= granted[what[1]]] == []
    subjects = one("RoleBinding", {"rbac": {"subjects": [{"kind": "Group", "name": "researchers"}]}})["subjects"]
    assert [(subject["kind"], subject["name"]) for subject in subjects] == [
        ("ServiceAccount", "datascaler-launcher"),
        ("Group", "researchers"),
    ]


def test_defaults_name_account_secret_and_queue_and_those_given_win() -> None:
    values = {
        "storage": {"secretName": "s3", "env": {"AWS_REGION": "eu-central-1"}},
        "localQueue": {"create": True, "name": "research", "clusterQueue": "gpus"},
        "defaults": {"env": {"AWS_REGION": "us-east-1"}, "gpu": {"count": 0}, "suspend": False},
    }
    assert defaults(values) == {
        "launcher": {
            "image": {"repository": "datascaler-launcher", "tag": "", "digest": "", "pullPolicy": "IfNotPresent"},
            "serviceAccountName": "datascaler-launcher",
        },
        "serviceAccountName": "datascaler-worker",
        "storage": {"secretName": "s3"},
        "queue": {"system": "kueue", "name": "research"},
        "env": {"AWS_REGION": "us-east-1"},
        "gpu": {"count": 0},
        "suspend": False,
    }


def test_defaults_are_values_of_the_run_chart() -> None:
    configmap = next(
        document
        for document in yaml.safe_load_all((EXAMPLES / "namespace.yaml").read_text())
        if document["kind"] == "ConfigMap"
    )
    values = yaml.safe_load(configmap["data"]["values.yaml"])
    [job] = manifests(RUN_CHART, values | {"kind": "report", "command": ["datascaler", "report"]})
    pod = job["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "datascaler-worker"
    assert pod["containers"][0]["image"] == "registry.example.org/datascaler-worker:0.1.0"
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "research"
    [driver] = manifests(RUN_CHART, values | {"kind": "pipeline", "command": ["datascaler", "submit", "pipeline"]})
    pod = driver["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "datascaler-launcher"
    assert pod["containers"][0]["image"] == "registry.example.org/datascaler-launcher:0.1.0"
    assert "kueue.x-k8s.io/queue-name" not in driver["metadata"]["labels"]


def test_defaults_may_hold_every_key_of_a_run_but_what_it_is_by_the_same_rules() -> None:
    assert (NAMESPACE_CHART / "values.schema.json").read_text() == namespace_schema(), "`python -m tests.charts.render`"
    properties = json.loads(namespace_schema())["properties"]["defaults"]["properties"]
    assert not {"kind", "name", "command", "runs"} & set(properties)
    assert "gpu" in properties


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"resourceQuotas": {}}, "resourceQuotas"),
        ({"rbac": {"create": "yes"}}, "/rbac/create"),
        ({"rbac": {"subjects": [{"kind": "Robot", "name": "r"}]}}, "/rbac/subjects/0/kind"),
        ({"defaults": {"imgae": {}}}, "imgae"),
        ({"defaults": {"gpu": {"cuont": 1}}}, "cuont"),
        ({"defaults": {"resources": {"memory": 16}}}, "/defaults/resources/memory"),
        ({"launcherImage": {"pullPolicy": "Sometimes"}}, "/launcherImage/pullPolicy"),
        ({"defaults": {"command": ["datascaler"]}}, "command"),
        ({"networkPolicy": {"egressPorts": [70000]}}, "/networkPolicy/egressPorts/0"),
        ({"localQueue": {"create": True}}, "localQueue.clusterQueue is empty"),
        ({"storage": {"env": {"AWS_SECRET_ACCESS_KEY": "x"}}}, "storage.env.AWS_SECRET_ACCESS_KEY"),
        ({"defaults": {"env": {"HF_TOKEN": "x"}}}, "defaults.env.HF_TOKEN"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_values_are_refused_by_name(values: dict[str, Any], named: str) -> None:
    message = refusal(NAMESPACE_CHART, values)
    # Helm before 3.18 writes a.b.0.c for /a/b/0/c.
    assert named in message or named.strip("/").replace("/", ".") in message
