"""Records what a real API server says: `python -m tests.cluster.record NAMESPACE` with $KUBECONFIG of an administrator.

NAMESPACE and NAMESPACE-quota are made and deleted again. Answers go to tests/cluster/recorded: whole, but without
managedFields (those of the huge job keep them: they are half of what a client has to read), and with the namespace
called `ml`.
"""

import gzip
import json
import lzma
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from datascaler.cluster.kube.api_paths import RUN_KINDS, path_of
from datascaler.cluster.kube.connect import Cluster, connect
from datascaler.cluster.submit.submission import describe_submission
from tests.charts.render import NAMESPACE_CHART, run_helm
from tests.cluster.scenarios import HUGE, PYTORCHJOBS, SCENARIOS, SHARED, Scenario

Json = dict[str, Any]

RECORDED = Path(__file__).parent / "recorded"
NAMESPACE = "ml"
_PATIENCE_SECONDS = 300


def main() -> None:
    cluster = connect(sys.argv[1])
    recorder = Recorder(cluster)
    scenarios = SCENARIOS | (PYTORCHJOBS if recorder.has_operator() else {})
    try:
        recorder.make_namespaces()
        for name, scenario in scenarios.items():
            recorder.submit(name, scenario)
        runs = [recorder.wait_and_take(name, scenario) for name, scenario in scenarios.items()]
        recorder.write("runs.json.gz", {"version": recorder.version(), "runs": runs})
        recorder.write("answers.json", recorder.answers())
        recorder.submit("huge", HUGE)
        recorder.wait_and_take("huge", HUGE)
        recorder.write("huge.json.xz", recorder.huge())
    finally:
        recorder.remove_namespaces()


class Recorder:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster, self._namespace = cluster, cluster.namespace
        self._transport = cluster.api._client.client.rest_client.pool_manager
        self._host = cluster.api._client.configuration.host

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """The server's answer, whatever it is."""
        headers = {"Content-Type": "application/json"} | {
            name.replace("_", "-"): text for name, text in headers.items()
        }
        data = None if body is None else json.dumps(body)
        answer = self._transport.request(method, self._host + path, body=data, headers=headers)
        text = answer.data.decode()
        return answer.status, json.loads(text) if text.startswith("{") else text

    def version(self) -> str:
        return str(self._cluster.api.get("/version")["gitVersion"])

    def has_operator(self) -> bool:
        return self.ask("GET", "/apis/kubeflow.org/v1")[0] == 200

    def make_namespaces(self) -> None:
        quota = next(scenario.quota for scenario in SCENARIOS.values() if scenario.quota)
        for name in (self._namespace, f"{self._namespace}-quota"):
            self._create("/api/v1/namespaces", {"metadata": {"name": name}})
        quotas = f"/api/v1/namespaces/{self._namespace}-quota/resourcequotas"
        self._create(quotas, {"metadata": {"name": "full"}, "spec": {"hard": quota}})
        furniture = run_helm("template", "datascaler", NAMESPACE_CHART, "--skip-tests", "--namespace", self._namespace)
        for each in yaml.safe_load_all(furniture.stdout):
            if each and each["kind"] in ("ServiceAccount", "ConfigMap", "Role", "RoleBinding"):
                group = "apis/rbac.authorization.k8s.io/v1" if each["kind"].startswith("Role") else "api/v1"
                each["metadata"]["namespace"] = self._namespace
                for subject in each.get("subjects") or ():
                    subject["namespace"] = self._namespace
                self._create(f"/{group}/namespaces/{self._namespace}/{each['kind'].lower()}s", each)

    def remove_namespaces(self) -> None:
        for name in (self._namespace, f"{self._namespace}-quota"):
            # A namespace deletes its pods first, which their Jobs hold on to.
            for kind in RUN_KINDS:
                self.ask("DELETE", f"{path_of(kind, name)}?propagationPolicy=Foreground")
            self.ask("DELETE", f"/api/v1/namespaces/{name}")

    def submit(self, name: str, scenario: Scenario) -> None:
        for each in self._described(name, scenario):
            self._cluster.api.create(path_of(each["kind"], each["metadata"]["namespace"]), each)

    def wait_and_take(self, name: str, scenario: Scenario) -> Json:
        """The run, its pods and events, once it is where it should be."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            found = self._look(name, scenario)
            if found["run"].get("status") and scenario.is_reached(found["run"], found["pods"], found["events"]):
                print(f"{name}: there", file=sys.stderr)  # noqa: T201
                return {"name": name, **found}
            if time.monotonic() > deadline:
                raise RuntimeError(f"{name} did not get there: {json.dumps(found)}")
            time.sleep(0.5)

    def _look(self, name: str, scenario: Scenario) -> Json:
        api, where = self._cluster.api, self._where(scenario)
        kind = "PyTorchJob" if scenario.values["kind"] == "train" else "Job"
        run = api.get(path_of(kind, where, name))
        pods = list(api.items(path_of("Pod", where), labelSelector=f"datascaler/run={name}"))
        about = {name, *(pod["metadata"]["name"] for pod in pods)}
        events = [each for each in api.items(path_of("Event", where)) if each["involvedObject"]["name"] in about]
        return {"run": run, "pods": pods, "events": events}

    def answers(self) -> list[Json]:
        """Single requests of the launcher, and how the server refuses: {about, method, path, status, body}."""
        jobs, pods = path_of("Job", self._namespace), path_of("Pod", self._namespace)
        complete = self._look("complete", SCENARIOS["complete"])
        again = self._described("complete", SCENARIOS["complete"])[0]
        unknown = again | {"spec": again["spec"] | {"paralelism": 2}}
        fixed = {"spec": {"completions": 7}}
        nobody = {"Impersonate_User": f"system:serviceaccount:{self._namespace}:default"}
        launcher = {"Impersonate_User": f"system:serviceaccount:{self._namespace}:datascaler-launcher"}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectRulesReview",
            "spec": {"namespace": self._namespace},
        }
        reviews = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
        merge = {"Content_Type": "application/merge-patch+json"}
        first, running = complete["pods"][0], self._look("running", SCENARIOS["running"])["pods"][0]
        log = f"{pods}/{running['metadata']['name']}/log"
        asked: list[tuple[str, str, str, Any, dict[str, str]]] = [
            ("version", "GET", "/version", None, {}),
            ("no operator" if not self.has_operator() else "operator", "GET", "/apis/kubeflow.org/v1", None, {}),
            ("no such group", "GET", "/apis/nobody.example/v1", None, {}),
            ("not found", "GET", f"{jobs}/absent", None, {}),
            ("forbidden", "GET", f"{jobs}?limit=500", None, nobody),
            ("already exists", "POST", f"{jobs}?fieldValidation=Strict", again, {}),
            ("unknown field", "POST", f"{jobs}?fieldValidation=Strict", unknown, {}),
            ("immutable field", "PATCH", f"{jobs}/complete", fixed, merge),
            ("rights of nobody", "POST", reviews, review, nobody),
            ("rights of the launcher", "POST", reviews, review, launcher),
            ("rights of an administrator", "POST", reviews, review, {}),
            ("log", "GET", f"{pods}/{first['metadata']['name']}/log?timestamps=true", None, {}),
            ("log of no previous container", "GET", f"{log}?previous=true", None, {}),
            ("log of an unknown container", "GET", f"{log}?container=absent", None, {}),
            ("configmap", "GET", path_of("ConfigMap", self._namespace, "datascaler-defaults"), None, {}),
            ("service account", "GET", path_of("ServiceAccount", self._namespace, "datascaler-worker"), None, {}),
        ]
        found = []
        for about, method, path, body, headers in asked:
            status, said = self.ask(method, path, body, **headers)
            found.append({"about": about, "method": method, "path": path, "status": status, "body": said})
        return found

    def huge(self) -> Json:
        """The job of ten thousand indexes, and one page of its pods as it comes from the server."""
        job = self._cluster.api.get(path_of("Job", self._namespace, "huge"))
        selector = "labelSelector=datascaler/run%3Dhuge&limit=500"
        return {"job": job, "pods": self.ask("GET", f"{path_of('Pod', self._namespace)}?{selector}")[1]}

    def write(self, name: str, content: Any) -> None:
        content = content if name.startswith("huge") else _without_managed_fields(content)
        pretty = 1 if name.endswith(".json") else None
        text = json.dumps(content, indent=pretty, sort_keys=True).replace(self._namespace, NAMESPACE)
        (RECORDED / name).write_bytes(_packed(text.encode(), Path(name).suffix))

    def _described(self, name: str, scenario: Scenario) -> list[Json]:
        return describe_submission(name, self._where(scenario), [SHARED, scenario.values], self.version()).objects

    def _where(self, scenario: Scenario) -> str:
        return f"{self._namespace}-quota" if scenario.quota else self._namespace

    def _create(self, path: str, body: Json) -> None:
        status, said = self.ask("POST", path, body)
        if status >= 300:
            raise RuntimeError(f"{path}: {said}")


def _packed(content: bytes, suffix: str) -> bytes:
    if suffix == ".gz":
        return gzip.compress(content, mtime=0)
    return lzma.compress(content) if suffix == ".xz" else content


def _without_managed_fields(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _without_managed_fields(value) for key, value in content.items() if key != "managedFields"}
    return [_without_managed_fields(each) for each in content] if isinstance(content, list) else content


if __name__ == "__main__":
    main()
