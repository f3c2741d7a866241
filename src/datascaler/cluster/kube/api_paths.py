"""URL paths of the API, and the kinds of objects that runs are made of."""

from typing import Any

Json = dict[str, Any]
"""An object, as the API gives and takes it."""

JOB, PYTORCHJOB, SERVICE = "Job", "PyTorchJob", "Service"

_FOLDERS = {
    JOB: ("apis/batch/v1", "jobs"),
    PYTORCHJOB: ("apis/kubeflow.org/v1", "pytorchjobs"),
    SERVICE: ("api/v1", "services"),
    "Pod": ("api/v1", "pods"),
    "Event": ("api/v1", "events"),
    "ConfigMap": ("api/v1", "configmaps"),
    "ServiceAccount": ("api/v1", "serviceaccounts"),
    "Workload": ("apis/kueue.x-k8s.io/v1beta1", "workloads"),
}

RUN_KINDS = (JOB, PYTORCHJOB)
"""Whatever else a run has belongs to one of these. Trainer v2's TrainJob would be one more."""

OPERATOR = "/apis/kubeflow.org/v1"
"""Lists the kinds of the training operator that are installed."""


def path_of(kind: str, namespace: str, name: str = "") -> str:
    group, plural = _FOLDERS[kind]
    return f"/{group}/namespaces/{namespace}/{plural}" + (f"/{name}" if name else "")


def path_of_object(found: Json) -> str:
    return path_of(found["kind"], found["metadata"]["namespace"], found["metadata"]["name"])
