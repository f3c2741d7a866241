"""The cluster as its administrator sees it: what tests check against, and how they do harm."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.until import until

_RUN = "datascaler/run"
_GPU = "nvidia.com/gpu"


@dataclass(frozen=True, slots=True)
class Cluster:
    admin: Path
    """Kubeconfig of somebody who may do anything."""
    program: str = "kubectl"

    def run_kubectl(
        self, kubeconfig: Path, *arguments: str, stdin: str | None = None
    ) -> "subprocess.CompletedProcess[str]":
        command = [self.program, f"--kubeconfig={kubeconfig}", *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        done = self.run_kubectl(self.admin, *arguments, stdin=stdin)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def apply(self, *objects: dict[str, Any]) -> None:
        self.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    def get(self, kind: str, namespace: str, selector: str = "") -> list[dict[str, Any]]:
        more = ["-l", selector] if selector else []
        items: list[dict[str, Any]] = json.loads(self.kubectl("get", kind, "-n", namespace, "-o", "json", *more))[
            "items"
        ]
        return items

    def pods(self, namespace: str, run: str, phase: str = "") -> list[str]:
        found = self.get("pods", namespace, f"{_RUN}={run}")
        return [
            pod["metadata"]["name"]
            for pod in found
            if phase in ("", pod["status"]["phase"]) and "deletionTimestamp" not in pod["metadata"]
        ]

    def running_pods(self, namespace: str, run: str, count: int) -> list[str]:
        """Once so many run at the same time."""
        until(lambda: len(self.pods(namespace, run, "Running")) >= count, f"{count} pods of {run} run")
        return self.pods(namespace, run, "Running")

    def scheduled_pods(self, namespace: str, run: str, count: int) -> list[str]:
        def scheduled() -> list[str]:
            pods = self.get("pods", namespace, f"{_RUN}={run}")
            return [pod["metadata"]["name"] for pod in pods if pod["spec"].get("nodeName")]

        until(lambda: len(scheduled()) == count, f"{count} pods of {run} have a node", 300, lambda: str(scheduled()))
        return scheduled()

    def gpus_of(self, namespace: str, pod: str) -> int:
        spec = json.loads(self.kubectl("get", "pod", "-n", namespace, pod, "-o", "json"))["spec"]
        return int(spec["containers"][0]["resources"]["limits"].get(_GPU, 0))

    def worker_0(self, namespace: str, run: str) -> str:
        """The pod that keeps the rendezvous, whichever backend runs it."""
        for label in ("training.kubeflow.org/replica-index", "batch.kubernetes.io/job-completion-index"):
            pods = self.get("pods", namespace, f"{_RUN}={run},{label}=0")
            alive = [pod for pod in pods if pod["status"]["phase"] == "Running"]
            if alive:
                return str(alive[0]["metadata"]["name"])
        raise AssertionError(f"{run} has no worker 0")

    def left(self, namespace: str, name: str) -> list[str]:
        """Everything in the namespace that carries the name in its labels or its own name."""
        found = []
        for kind in ("jobs", "pods", "services", "configmaps", "secrets", *self._optional_kinds()):
            for each in self.get(kind, namespace):
                labels = each["metadata"].get("labels", {})
                named = (labels.get(_RUN), labels.get("app.kubernetes.io/instance"), labels.get("datascaler/pipeline"))
                if name in named or each["metadata"]["name"].startswith(f"{name}-"):
                    found.append(f"{each['kind']} {each['metadata']['name']}")
        return found

    def has_operator(self) -> bool:
        return "pytorchjobs.kubeflow.org" in self.kubectl("api-resources", "--namespaced", "-o", "name").split()

    def can_i(self, kubeconfig: Path, namespace: str, verb: str, resource: str) -> str:
        return self.run_kubectl(kubeconfig, "auth", "can-i", verb, resource, "-n", namespace).stdout.strip()

    @contextmanager
    def quota(self, namespace: str, hard: dict[str, str]) -> Iterator[None]:
        quota = {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "tight", "namespace": namespace},
            "spec": {"hard": hard},
        }
        self.apply(quota)
        until(lambda: self.get("resourcequotas", namespace)[0]["status"].get("hard"), "the quota holds")
        try:
            yield
        finally:
            self.kubectl("delete", "resourcequota", "-n", namespace, "tight")

    @contextmanager
    def gpus(self, count: int) -> Iterator[None]:
        """Every node offers so many, which the scheduler counts and nobody has."""
        nodes = json.loads(self.kubectl("get", "nodes", "-o", "json"))["items"]
        names = [node["metadata"]["name"] for node in nodes]
        for name in names:
            self._offer(name, str(count))
        try:
            yield
        finally:
            for name in names:
                self._offer(name, None)

    def _offer(self, node: str, count: str | None) -> None:
        patch = json.dumps({"status": {"capacity": {_GPU: count}, "allocatable": {_GPU: count}}})
        self.kubectl("patch", "node", node, "--subresource=status", "--type=merge", "-p", patch)

    def _optional_kinds(self) -> list[str]:
        names = self.kubectl("api-resources", "--namespaced", "-o", "name").split()
        return [name for name in names if name.partition(".")[0] in ("pytorchjobs", "podgroups", "workloads")]
