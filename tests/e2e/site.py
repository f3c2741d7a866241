"""Where the end-to-end tests run: on a cluster of this machine's own, or on one that the environment names.

DATASCALER_E2E_KUBECONFIG   an administrator's; without it a cluster is started here (tests/cluster)
DATASCALER_E2E_VALUES       values of charts/datascaler for that cluster: images above all
AWS_*                       an S3 server that both this machine and that cluster's pods reach, with a bucket
DATASCALER_E2E_BUCKET       the bucket's name
DATASCALER_E2E_KEEP         anything: leave the own cluster running
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.s3_server import BUCKET, start_s3_server


@dataclass(frozen=True, slots=True)
class Site:
    kubeconfig: Path
    kubectl: str
    bucket: str
    environment: Mapping[str, str]
    """What reaches the S3 server, from here and from pods."""
    values: dict[str, Any]
    """Of the chart `datascaler`."""
    operator_arguments: tuple[str, ...] = ()
    """Of scripts/cluster_install.sh."""
    worker_folder: str = ""
    """A folder of the node that worker pods mount at the same path; empty where the image holds everything."""


@contextmanager
def site(folder: Path) -> Iterator[Site]:
    given = os.environ.get("DATASCALER_E2E_KUBECONFIG")
    if given:
        values = yaml.safe_load(Path(os.environ["DATASCALER_E2E_VALUES"]).read_text())
        environment = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        yield Site(Path(given), "kubectl", os.environ["DATASCALER_E2E_BUCKET"], environment, values)
        return
    from tests.cluster import layout, local

    local.start()
    server = start_s3_server(folder, layout.node_address())
    try:
        yield _own(server.environment)
    finally:
        server.stop()
        if "DATASCALER_E2E_KEEP" not in os.environ:
            local.stop()


def _own(environment: Mapping[str, str]) -> Site:
    from tests.cluster import layout
    from tests.e2e.images import import_images

    images = import_images()
    defaults = {
        "image": {"repository": images.worker[0], "tag": images.worker[1], "pullPolicy": "Never"},
        "gpu": {"count": 0},
        "resources": {"cpu": "100m", "memory": "2Gi"},
        "shmSize": "256Mi",
        "terminationGracePeriodSeconds": 30,
        # Threads of several processes on two cores spin while they wait for one another.
        "env": {"OMP_NUM_THREADS": "1"},
    }
    launcher = {"repository": images.launcher[0], "tag": images.launcher[1], "pullPolicy": "Never"}
    return Site(
        kubeconfig=layout.kubeconfig(),
        kubectl=str(layout.binaries() / "kubectl"),
        bucket=BUCKET,
        environment=environment,
        values={"defaults": defaults, "launcherImage": launcher},
        operator_arguments=("--operator-manifests", images.operator_manifests, "--operator-image", images.operator),
        worker_folder=images.worker_folder,
    )
