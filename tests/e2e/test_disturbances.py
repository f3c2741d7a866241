"""What goes wrong in a cluster under a run: its API server is restarted, its node is silent, a step is refused."""

import json
import os
import time
from pathlib import Path

import pytest

from datascaler import storage
from tests.e2e.cluster import Cluster
from tests.e2e.data import Data
from tests.e2e.launcher import Launcher
from tests.e2e.until import until

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("operator")]


@pytest.fixture
def science(data: Data) -> list[str]:
    out = storage.join(data.url, "disturbed")
    return ["--data-dir", data.pool, "--output-dir", out, "--method", "dfn", "--pretrained", data.filter_run]


OURS = pytest.mark.skipif(
    "DATASCALER_E2E_KUBECONFIG" in os.environ, reason="another's cluster is not ours to take parts of away"
)


@OURS
def test_the_api_server_is_restarted_under_those_who_watch(
    launcher: Launcher, science: list[str], tmp_path: Path
) -> None:
    from tests.cluster import control_plane, processes

    name = launcher.submit(
        "score", *science, "--name", "restarted", "--num-workers", "1", "--count", "4", "--parallelism", "1"
    )
    heard, waited = tmp_path / "heard.log", tmp_path / "waited.log"
    with heard.open("w") as heard_to, waited.open("w") as waited_to:
        following = launcher.start("logs", "-f", name, out=heard_to)
        waiting = launcher.start("wait", name, out=waited_to)
    # What never answered is refused at once: each of the two has to have been answered.
    until(lambda: f"[{name}-" in heard.read_text(), "a line is followed", 180, heard.read_text)
    until(lambda: waited.read_text() != "", "a state is told", 180, lambda: str(waiting.poll()))
    for _ in range(3):
        processes.stop(processes.recorded()["kube-apiserver"])
        processes.wait_for(control_plane.start_api_server(), "it is ready", control_plane.api_answers)
        time.sleep(5)
    assert waiting.wait(timeout=600) == 0, waited.read_text()
    assert following.wait(timeout=600) == 0, heard.read_text()
    said = [line for line in heard.read_text().splitlines() if line.startswith(f"[{name}-")]
    alive = launcher("logs", name).out.splitlines()
    assert sorted(said) == sorted(alive)
    launcher("cancel", name)


def test_three_submits_at_once_are_one_run(launcher: Launcher, science: list[str]) -> None:
    words = ("submit", "score", *science, "--name", "at-once", "--suspend")
    started = [launcher.start(*words) for _ in range(3)]
    ended = [(process.communicate(timeout=300)[0], process.returncode) for process in started]
    assert ended == [(f"{launcher.namespace}/at-once\n", 0)] * 3
    launcher("cancel", "at-once")


def test_a_pipeline_whose_last_step_is_refused_starts_nothing(cluster: Cluster, launcher: Launcher, data: Data) -> None:
    out = storage.join(data.url, "refused")
    done = launcher(
        *("submit", "pipeline", "--name", "refused", "--data-dir", data.pool, "--output-dir", out, "--method", "dfn"),
        *("--fraction", "0.5", "--scale", "small", "--eval-data-dir", data.evalsets),
        *("--score", f"--pretrained {data.filter_run}"),
        # A name of a port in place of a number, which only the server refuses.
        *("--eval", "--values '{podOverlay: {spec: {hostname: A_B}}}'"),
        code=78,
    )
    assert "step eval" in done.err
    assert cluster.left(launcher.namespace, "refused") == []


@OURS
def test_a_node_that_is_silent_is_named(cluster: Cluster, launcher: Launcher, data: Data) -> None:
    from tests.cluster import node, processes

    name = launcher.submit(
        *("train", "--name", "silent", "--backend", "job", "--data-dir", data.clean, "--scale", "small"),
        *("--output-dir", storage.join(data.url, "silent"), "--model-arch", "ViT-Micro-12-48"),
        *("--batch-size", "8", "--train-num-samples", "800000", "--num-workers", "0"),
    )
    cluster.running_pods(launcher.namespace, name, 1)
    [listed] = json.loads(cluster.kubectl("get", "nodes", "-o", "json"))["items"]
    killed = time.monotonic()
    processes.stop(processes.recorded()["kubelet"])
    try:
        wanted = f"node {listed['metadata']['name']} does not answer"
        until(
            lambda: wanted in launcher.status(name)["reason"],
            "the node is named",
            60 - (time.monotonic() - killed),
            lambda: str(launcher.status(name)),
        )
    finally:
        processes.wait_for(node.start_kubelet(), "the node is ready", node.node_is_ready)
    launcher("cancel", name)
