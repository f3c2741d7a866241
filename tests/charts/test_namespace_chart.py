"""charts/datascaler: what a namespace gets."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.charts.render import EXAMPLES, NAMESPACE_CHART, RUN_CHART, manifests, refusal


def kinds(values: dict[str, Any]) -> list[str]:
    return sorted(document["kind"] for document in manifests(NAMESPACE_CHART, values))


def one(kind: str, values: dict[str, Any]) -> dict[str, Any]:
    return next(document for document in manifests(NAMESPACE_CHART, values) if document["kind"] == kind)


def defaults(values: dict[str, Any]) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(one("ConfigMap", values)["data"]["values.yaml"])
    return loaded


def test_what_is_optional_is_off_by_default() -> None:
    assert kinds({}) == ["ConfigMap", "Role", "RoleBinding", "ServiceAccount", "ServiceAccount"]
    everything = {
        "localQueue": {"create": True, "clusterQueue": "gpus"},
        "networkPolicy": {"create": True},
        "resourceQuota": {"hard": {"requests.nvidia.com/gpu": 2_000_000}},
    }
    assert set(kinds(everything)) - set(kinds({})) == {"LocalQueue", "NetworkPolicy", "ResourceQuota"}
    assert one("ResourceQuota", everything)["spec"]["hard"] == {"requests.nvidia.com/gpu": "2000000"}


def test_accounts_that_exist_are_not_made() -> None:
    off = {"workerServiceAccount": {"create": False, "name": "theirs"}, "launcherServiceAccount": {"create": False}}
    assert kinds(off) == ["ConfigMap", "Role", "RoleBinding"]
    assert defaults(off)["serviceAccountName"] == "theirs"


def test_the_role_reads_no_secret_and_gives_the_worker_nothing() -> None:
    rules = one("Role", {})["rules"]
    assert not [rule for rule in rules if "secrets" in rule["resources"] or "*" in rule["resources"] + rule["verbs"]]
    configmaps = [rule for rule in rules if "configmaps" in rule["resources"]]
    assert configmaps == [
        {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["datascaler-defaults"], "verbs": ["get"]}
    ]
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


def test_defaults_may_hold_every_key_of_a_run_but_what_it_is() -> None:
    def properties(chart: Path) -> dict[str, Any]:
        schema: dict[str, Any] = json.loads((chart / "values.schema.json").read_text())
        return schema["properties"]  # type: ignore[no-any-return]

    allowed = properties(NAMESPACE_CHART)["defaults"]["propertyNames"]["enum"]
    assert {*allowed, "kind", "name", "command", "runs"} == set(properties(RUN_CHART))


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"resourceQuotas": {}}, "resourceQuotas"),
        ({"rbac": {"create": "yes"}}, "/rbac/create"),
        ({"rbac": {"subjects": [{"kind": "Robot", "name": "r"}]}}, "/rbac/subjects/0/kind"),
        ({"defaults": {"imgae": {}}}, "imgae"),
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
