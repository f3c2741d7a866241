"""What is wrong, in one line, and the exit code that goes with it."""

from typing import Any

import pytest

from datascaler import storage
from tests.e2e.cluster import Cluster
from tests.e2e.data import Data
from tests.e2e.launcher import Launcher
from tests.e2e.until import until

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("operator")]


@pytest.fixture
def science(data: Data) -> list[str]:
    out = storage.join(data.url, "why")
    return ["--data-dir", data.pool, "--output-dir", out, "--method", "dfn", "--pretrained", data.filter_run]


def reason(launcher: Launcher, name: str, wanted: str, code: int) -> str:
    """The one line of `status`, once it says what is wanted; the exit code is checked."""

    def is_told(run: Any) -> bool:
        # The pod's end is seen a moment before the Job gives up for it.
        return wanted in run["reason"] and (run["state"] == "failed") == (code == 100)

    line = launcher.await_state(name, is_told, f"the reason {wanted!r}", 180)["reason"]
    assert "\n" not in line
    launcher("status", name, code=code)
    return str(line)


def test_a_bad_image(launcher: Launcher, science: list[str]) -> None:
    name = launcher.submit("score", *science, "--name", "bad-image", "--image", "localhost/nowhere:1")
    reason(launcher, name, "image", 101)
    assert launcher("wait", name, "--timeout", "1", code=101).code == 101
    launcher("cancel", name)
    launcher("status", name, code=102)


def test_a_secret_that_is_not_there(launcher: Launcher, science: list[str]) -> None:
    name = launcher.submit("score", *science, "--name", "bad-secret", "--secret-env", "TOKEN=nowhere:token")
    assert 'secret "nowhere" not found' in reason(launcher, name, "can't be configured", 101)
    launcher("cancel", name)


def test_gpus_that_no_node_has(launcher: Launcher, science: list[str]) -> None:
    name = launcher.submit("score", *science, "--name", "many-gpus", "--gpus", "64")
    assert "Insufficient nvidia.com/gpu" in reason(launcher, name, "unschedulable", 101)
    launcher("cancel", name)


def test_a_bucket_that_is_not_there(launcher: Launcher, data: Data) -> None:
    for verb in ("score", "train"):
        arguments = {
            "score": ["--output-dir", "s3://nowhere-at-all/out", "--method", "dfn", "--pretrained", data.filter_run],
            "train": ["--output-dir", "s3://nowhere-at-all/out", "--scale", "small", "--workers", "1"],
        }[verb]
        name = launcher.submit(verb, "--name", f"no-bucket-{verb}", "--data-dir", data.pool, *arguments)
        assert "nowhere-at-all" in reason(launcher, name, "ended with 78", 100)
        assert launcher("wait", name, "--timeout", "60", code=100).code == 100
        launcher("cancel", name)


def test_a_full_quota(cluster: Cluster, launcher: Launcher, science: list[str]) -> None:
    with cluster.quota(launcher.namespace, {"requests.memory": "1Mi"}):
        name = launcher.submit("score", *science, "--name", "no-quota")
        assert "exceeded quota" in reason(launcher, name, "exceeded quota", 101)
        launcher("cancel", name)


def test_default_pods_ask_for_a_gpu_and_the_fifth_waits(
    cluster: Cluster, launcher: Launcher, science: list[str], data: Data
) -> None:
    # The chart's own count, in place of this namespace's 0; and an image that is not there, so that no pod ends and
    # frees its GPU before the fifth has asked.
    defaults = [
        "--values",
        '{"gpu": {"count": null}}',
        "--image",
        "localhost/nowhere:1",
        "--image-pull-policy",
        "Never",
    ]
    with cluster.gpus(4):
        score = launcher.submit("score", *science, *defaults, "--name", "gpu-score", "--count", "3")
        train = launcher.submit(
            *("train", *defaults, "--name", "gpu-train", "--data-dir", data.clean, "--scale", "small"),
            *("--output-dir", storage.join(data.url, "gpu-runs"), "--model-arch", "ViT-Micro-12-48"),
            *("--batch-size", "8", "--train-num-samples", "80000", "--num-workers", "0"),
        )
        for name, pods in ((score, 3), (train, 1)):
            found = cluster.scheduled_pods(launcher.namespace, name, pods)
            assert [cluster.gpus_of(launcher.namespace, pod) for pod in found] == [1] * pods
        fifth = launcher.submit("score", *science, *defaults, "--name", "gpu-fifth")
        until(lambda: launcher.status(score)["active"] + launcher.status(train)["active"] > 0, "some are at work")
        assert "Insufficient nvidia.com/gpu" in reason(launcher, fifth, "unschedulable", 101)
        for name in (score, train, fifth):
            launcher("cancel", name)


def test_a_queue_that_nobody_keeps(launcher: Launcher, science: list[str]) -> None:
    done = launcher("submit", "score", *science, "--name", "no-kueue", "--queue", "research", "--suspend")
    assert "warning" not in done.err  # suspended as asked: nothing starts
    launcher("cancel", "no-kueue")
    done = launcher("submit", "score", *science, "--name", "no-kueue", "--queue", "research")
    assert "warning: no Kueue holds no-kueue in its queue" in done.err
    launcher("cancel", "no-kueue")
