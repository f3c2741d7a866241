"""Names, idempotence, rights: what a second submit does, and what a researcher may not do."""

import json
import signal
from pathlib import Path

import pytest

from datascaler import storage
from datascaler.data.pool.shards import find_shards
from tests.e2e.cluster import Cluster
from tests.e2e.data import Data
from tests.e2e.launcher import Launcher
from tests.e2e.until import until

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("operator")]


def test_the_same_submit_is_a_no_op_and_another_one_shows_the_difference(
    cluster: Cluster, launcher: Launcher, data: Data
) -> None:
    science = ["--data-dir", data.pool, "--output-dir", storage.join(data.url, "names"), "--method", "dfn"]
    arguments = ["submit", "score", *science, "--pretrained", data.filter_run, "--name", "twice", "--suspend"]
    first = launcher(*arguments)
    second = launcher(*arguments)
    assert first.out == second.out == f"{launcher.namespace}/twice\n"
    assert "twice is there already with the same spec: suspended" in second.err
    other = launcher(*arguments, "--memory", "3Gi", code=1)
    assert "exists with another spec" in other.err
    assert "resources.memory: " in other.err
    assert '-> "3Gi"' in other.err
    assert [run["name"] for run in json.loads(launcher("list", "--json").out)["runs"]].count("twice") == 1
    described = launcher("describe", "twice").out
    assert f"--pretrained {data.filter_run}" in described
    launcher("cancel", "twice")
    assert cluster.left(launcher.namespace, "twice") == []
    launcher("cancel", "twice", code=102)


def test_ctrl_c_detaches(launcher: Launcher, data: Data, tmp_path: Path) -> None:
    science = ["--data-dir", data.pool, "--output-dir", storage.join(data.url, "detach"), "--method", "dfn"]
    arguments = ["submit", "score", *science, "--pretrained", data.filter_run, "--name", "left-alone", "--suspend"]
    heard = tmp_path / "heard.log"
    with heard.open("w") as target:
        process = launcher.start(*arguments, "--wait", out=target)
    until(lambda: "suspended (0 of 1 done): " in heard.read_text(), "it waits", 60, heard.read_text)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 101
    assert f"detached; {launcher.namespace}/left-alone goes on" in heard.read_text()
    launcher("wait", "left-alone", "--timeout", "1", code=101)
    launcher("status", "left-alone", code=101)
    launcher("cancel", "left-alone")


def test_the_server_refuses_before_anything_is_created(cluster: Cluster, launcher: Launcher, data: Data) -> None:
    overlay = '{"podOverlay": {"spec": {"hostNetwork": "yes, please"}}}'
    science = ["--data-dir", data.pool, "--output-dir", storage.join(data.url, "x"), "--method", "dfn"]
    refused = launcher("submit", "score", *science, "--name", "refused", "--values", overlay, code=1)
    assert "hostNetwork" in refused.err
    assert cluster.left(launcher.namespace, "refused") == []
    dry = launcher("submit", "score", *science, "--name", "dry", "--dry-run=server")
    assert dry.out.startswith("---")
    assert cluster.left(launcher.namespace, "dry") == []


def test_a_researcher_has_the_rights_that_the_commands_need_and_no_more(
    cluster: Cluster, launcher: Launcher, data: Data
) -> None:
    done = launcher("doctor", "--data-dir", data.pool, "--output-dir", data.url)
    assert "FAIL" not in done.out
    for forbidden in ("get secrets", "list secrets", "create pods", "create configmaps", "get nodes", "create roles"):
        assert cluster.can_i(launcher.kubeconfig, launcher.namespace, *forbidden.split()) == "no", forbidden
    refused = cluster.run_kubectl(launcher.kubeconfig, "get", "secret", "-n", launcher.namespace, "s3-credentials")
    assert "forbidden" in refused.stderr


def test_only_restricted_pods_are_admitted(cluster: Cluster, launcher: Launcher) -> None:
    labels = json.loads(cluster.kubectl("get", "namespace", launcher.namespace, "-o", "json"))["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "root", "namespace": launcher.namespace},
        "spec": {"containers": [{"name": "root", "image": "localhost/pause:1"}]},
    }
    refused = cluster.run_kubectl(cluster.admin, "create", "-f", "-", stdin=json.dumps(pod))
    assert 'violates PodSecurity "restricted' in refused.stderr


def test_a_sweep_is_one_group(launcher: Launcher, data: Data) -> None:
    arguments = (
        *("submit", "sweep", "--name", "grid", "--data-dir", data.clean, "--output-dir", data.url, "--scale", "small"),
        *("--lrs", "1e-3,2e-3,3e-3", "--suspend"),
    )
    assert launcher(*arguments).out == f"{launcher.namespace}/grid\n"
    runs = json.loads(launcher("status", "grid", "--json", code=101).out)["runs"]
    assert [run["name"] for run in runs] == ["grid-0", "grid-1", "grid-2"]
    assert launcher("cancel", "grid-1").out == f"{launcher.namespace}/grid-1\n"
    assert len(launcher("cancel", "grid").out.splitlines()) == 2


def test_a_retry_does_what_is_left(launcher: Launcher, data: Data) -> None:
    """One part of three fails for want of its shards, which then come back."""
    out = storage.join(data.url, "retry")
    broken = storage.join(data.url, "broken-pool")
    shards = find_shards(data.pool)[:3]
    for shard in shards:
        storage.publish_bytes(storage.join(broken, storage.basename(shard.url)), storage.read_bytes(shard.url))
    science = ["--data-dir", broken, "--output-dir", out, "--method", "dfn", "--pretrained", data.filter_run]
    lost = storage.join(broken, storage.basename(shards[1].url))
    content = storage.read_bytes(lost)
    arguments = ["score", *science, "--count", "3", "--num-workers", "1", "--name", "leaky"]
    launcher("submit", *arguments, "--suspend")  # freezes the list of shards, and starts nothing
    launcher("cancel", "leaky")
    storage.remove(lost)
    name = launcher.submit(*arguments)
    launcher("wait", name, "--timeout", "600", code=104)
    state = launcher.status(name)
    assert (state["state"], state["succeeded"], state["failed_indexes"]) == ("partly failed", 2, "1")
    assert "ended with 65" in state["reason"]
    storage.publish_bytes(lost, content)
    again = launcher("retry", name).out.strip()
    assert again == f"{launcher.namespace}/leaky-retry1"
    launcher("wait", again, "--timeout", "600")
    assert launcher.status("leaky-retry1")["wanted"] == 1
    assert len(storage.list_files(storage.join(out, "scores"), ".parquet", recursive=True)) == 3
    for each in (name, "leaky-retry1"):
        launcher("cancel", each)
