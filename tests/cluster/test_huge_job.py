"""Status of a job with ten thousand indexes: few requests and little time, however many pods wait.

The job and one page of 500 pods are recorded, managedFields and all; here there are twenty such pages with other names.
"""

import json
import subprocess
import sys
from dataclasses import dataclass, field
from functools import cache
from resource import RUSAGE_CHILDREN, getrusage
from typing import Any

import pytest

from datascaler.cluster.kube.api import PAGE, Api
from datascaler.cluster.watch.state import State
from datascaler.cluster.watch.status import find_cluster_runs, look
from datascaler.cluster.watch.wait import summary_line
from tests.cluster.replay import Answer, Query, Replay, recorded

WANTED = 10_000
REASON = "unschedulable: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu."


@cache
def page(number: int) -> dict[str, Any]:
    text = json.dumps(recorded("huge.json.xz")["pods"]["items"]).replace('"huge-', f'"huge-{number}-')
    more = {"continue": str(number + 1)} if number + 1 < WANTED // PAGE else {}
    return {"items": json.loads(text), "metadata": more}


def test_a_page_is_recorded_whole() -> None:
    assert len(page(0)["items"]) == PAGE
    assert all("managedFields" in pod["metadata"] for pod in page(0)["items"])


@dataclass
class Pods:
    """All pages, and who asked for them."""

    silent: int = 0
    """So many pages come first whose pods do not say why they wait."""
    asked: list[Query] = field(default_factory=list)

    def __call__(self, _method: str, path: str, query: Query, _body: Any) -> Answer | None:
        if not path.endswith("/pods"):
            return None
        self.asked.append(query)
        number = int(query.get("continue", 0))
        said = page(number)
        if number < self.silent:
            said = said | {"items": [pod | {"status": {"phase": "Pending"}} for pod in said["items"]]}
        return 200, said


@pytest.fixture
def pods(server: Replay) -> Pods:
    found = Pods()
    server.answers.append(found)
    return found


def huge_job(**status: Any) -> dict[str, Any]:
    job: dict[str, Any] = recorded("huge.json.xz")["job"]
    assert job["spec"]["completions"] == WANTED
    return job | {"status": job["status"] | status}


def test_while_all_pods_wait(server: Replay, api: Api, pods: Pods) -> None:
    server.add(huge_job(active=WANTED))
    [state] = look(api, find_cluster_runs(api, "ml", "huge"))
    assert (state.state, state.wanted, state.active) == (State.PENDING, WANTED, WANTED)
    assert state.reason.startswith(REASON)
    # The first page says why.
    assert len(pods.asked) == 1


def test_while_half_is_done_and_some_pods_wait(server: Replay, api: Api, pods: Pods) -> None:
    server.add(huge_job(succeeded=5000, completedIndexes="0-4998,5003", active=5000, ready=4200))
    [state] = look(api, find_cluster_runs(api, "ml", "huge"))
    assert state.reason.startswith(f"800 of 5,000 pods are not running: {REASON}")
    assert summary_line([state]).startswith("running (5,000 of 10,000 done): 800 of 5,000 pods are not running: ")
    assert "status.phase!=Running" in pods.asked[0]["fieldSelector"]


def test_every_page_is_read_until_one_says_why(server: Replay, api: Api, pods: Pods) -> None:
    pods.silent = 2
    server.add(huge_job(active=WANTED))
    [state] = look(api, find_cluster_runs(api, "ml", "huge"))
    assert state.reason.startswith(REASON)
    assert len(pods.asked) == 3


def test_with_very_many_failed_indexes(server: Replay, api: Api) -> None:
    """Every second one: Kubernetes writes them all out."""
    failed = ",".join(map(str, range(1, WANTED, 2)))
    condition = {"type": "Failed", "status": "True", "reason": "FailedIndexes", "message": "Job has failed indexes"}
    server.add(huge_job(active=0, succeeded=5000, failed=5000, failedIndexes=failed, conditions=[condition]))
    [state] = look(api, find_cluster_runs(api, "ml", "huge"))
    assert (state.state, state.failed) == (State.PARTLY_FAILED, 5000)


def processor_time(*command: str) -> tuple[subprocess.CompletedProcess[str], float]:
    before = getrusage(RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    after = getrusage(RUSAGE_CHILDREN)
    return done, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.usefixtures("kubeconfig", "pods")
def test_the_command_as_a_whole(server: Replay) -> None:
    """Importing the kubernetes client is most of it, so that is what it is measured by: machines differ."""
    server.add(huge_job(active=WANTED))
    command, client = [], []
    for _ in range(3):
        done, seconds = processor_time(sys.executable, "-m", "datascaler", "status", "ml/huge", "--json")
        assert done.returncode == 101, done.stderr
        assert json.loads(done.stdout)["runs"][0]["wanted"] == WANTED
        command.append(seconds)
        client.append(processor_time(sys.executable, "-c", "import kubernetes.client")[1])
    assert min(command) < 2 * min(client), (command, client)
