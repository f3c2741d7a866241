"""What the end-to-end tests share: cluster, a namespace made by scripts/cluster_install.sh, a researcher, a pool."""

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import s3fs

from datascaler import storage
from datascaler.cluster.kube.chart_values import merged_values
from tests.e2e.cluster import Cluster
from tests.e2e.data import Data, make_test_data
from tests.e2e.launcher import Launcher
from tests.e2e.site import Site, site

_ROOT = Path(__file__).parents[2]
_SECRET = "s3-credentials"
_RESEARCHER = "researcher"


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("site")) as found:
        os.environ.update(found.environment)
        s3fs.S3FileSystem.clear_instance_cache()
        yield found


@pytest.fixture(scope="session")
def cluster(place: Site) -> Cluster:
    return Cluster(place.kubeconfig, place.kubectl)


@pytest.fixture(scope="session")
def install_arguments(place: Site, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Of scripts/cluster_install.sh, which users run."""
    name = f"e2e-{uuid.uuid4().hex[:6]}"
    values = place.values | {"rbac": {"subjects": [{"kind": "ServiceAccount", "name": _RESEARCHER}]}}
    if place.worker_folder:
        values["defaults"] = merged_values(values["defaults"], _mount(place.worker_folder))
    file = tmp_path_factory.mktemp("values") / "values.yaml"
    file.write_text(json.dumps(values))
    return ["--namespace", name, "--s3-secret", _SECRET, "--values", str(file)]


@pytest.fixture(scope="session")
def namespace(place: Site, cluster: Cluster, install_arguments: list[str]) -> Iterator[str]:
    """A namespace that is ready for runs; the operator is a cluster's and comes later, for those that need it."""
    name = install_arguments[1]
    try:
        _cluster_install(place, *install_arguments, "--no-operator")
        if place.worker_folder:
            cluster.apply(*_volume(name, place.worker_folder))
        yield name
    finally:
        # Runs first: pods that are deleted before their Jobs wait for them.
        for kind in ("pytorchjobs", "jobs"):
            cluster.run_kubectl(cluster.admin, "delete", kind, "-n", name, "--all", "--ignore-not-found")
        cluster.kubectl("delete", "namespace", name, "--ignore-not-found", "--timeout=300s")
        cluster.kubectl("delete", "persistentvolume", name, "--ignore-not-found")


@pytest.fixture(scope="session")
def operator(place: Site, namespace: str, install_arguments: list[str]) -> None:  # noqa: ARG001
    """The training operator, from now on. (A second run of the script changes nothing else.)"""
    _cluster_install(place, *install_arguments, *place.operator_arguments)


@pytest.fixture(scope="session")
def launcher(namespace: str, cluster: Cluster, place: Site, tmp_path_factory: pytest.TempPathFactory) -> Launcher:
    """Of somebody who has the Role of the chart and nothing else."""
    cluster.kubectl("create", "serviceaccount", _RESEARCHER, "-n", namespace)
    token = cluster.kubectl("create", "token", _RESEARCHER, "-n", namespace, "--duration=6h").strip()
    admin = json.loads(cluster.kubectl("config", "view", "--raw", "--flatten", "-o", "json"))
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "here", "cluster": admin["clusters"][0]["cluster"]}],
        "users": [{"name": _RESEARCHER, "user": {"token": token}}],
        "contexts": [
            {"name": "here", "context": {"cluster": "here", "user": _RESEARCHER, "namespace": namespace}},
        ],
        "current-context": "here",
    }
    kubeconfig = tmp_path_factory.mktemp("researcher") / "kubeconfig"
    kubeconfig.write_text(json.dumps(config))
    return Launcher(kubeconfig, namespace, place.environment)


@pytest.fixture(scope="session")
def data(launcher: Launcher, place: Site) -> Data:
    return make_test_data(storage.join(f"s3://{place.bucket}", uuid.uuid4().hex), launcher)


def _cluster_install(place: Site, *arguments: str) -> None:
    environment = os.environ | {"KUBECONFIG": str(place.kubeconfig), "PATH": _path_with_tools(place)}
    command = [str(_ROOT / "scripts" / "cluster_install.sh"), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _path_with_tools(place: Site) -> str:
    """The cluster's own kubectl, and the checkout's helm, before those of the machine."""
    helm = subprocess.run([_ROOT / "scripts" / "get_helm"], capture_output=True, text=True, check=True).stdout.strip()
    folders = [str(Path(helm).parent), str(Path(place.kubectl).parent) if "/" in place.kubectl else ""]
    return os.pathsep.join([*filter(None, folders), os.environ["PATH"]])


def _mount(folder: str) -> dict[str, object]:
    """Pod Security `restricted` refuses a hostPath in a pod, and accepts a claim on a volume that is one."""
    return {
        "volumes": [{"name": "worker", "persistentVolumeClaim": {"claimName": "worker", "readOnly": True}}],
        "volumeMounts": [{"name": "worker", "mountPath": folder, "readOnly": True}],
    }


def _volume(namespace: str, folder: str) -> list[dict[str, object]]:
    shape = {"accessModes": ["ReadOnlyMany"], "storageClassName": ""}
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": namespace},
            "spec": {
                **shape,
                "capacity": {"storage": "10Gi"},
                "hostPath": {"path": folder},
                "claimRef": {"name": "worker", "namespace": namespace},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "worker", "namespace": namespace},
            "spec": {**shape, "volumeName": namespace, "resources": {"requests": {"storage": "10Gi"}}},
        },
    ]
