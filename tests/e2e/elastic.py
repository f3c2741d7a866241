"""Elastic training on a real cluster: scaled while it runs, worker 0 killed, and told the truth of all the while."""

from collections.abc import Sequence
from pathlib import Path

from datascaler import storage
from tests.e2e.cluster import Cluster
from tests.e2e.data import Data
from tests.e2e.launcher import Launcher
from tests.e2e.until import until

STEPS = 600
BATCH = 48


def workers_come_and_go(
    name: str, cluster: Cluster, launcher: Launcher, data: Data, folder: Path, arguments: Sequence[str] = ()
) -> None:
    """Train with 1, then 3, then 2 workers, kill worker 0, and see the run end as it should.

    folder: for what `logs -f` says. arguments: more flags of `submit train`.
    """
    out = storage.join(data.url, name)
    launcher.submit(
        *("train", "--name", name, *arguments, "--workers", "1"),
        *("--min-workers", "1", "--max-workers", "3", "--data-dir", data.clean, "--output-dir", out),
        *("--scale", "small", "--model-arch", "ViT-Micro-12-48", "--batch-size", str(BATCH), "--warmup", "10"),
        *("--train-num-samples", str(STEPS * BATCH), "--num-workers", "0", "--num-checkpoints", str(STEPS // 10)),
        "--log-every-steps=1",
    )
    heard = folder / "heard.log"
    with heard.open("w") as target:
        following = launcher.start("logs", "-f", name, out=target)

    def says(text: str) -> None:
        until(lambda: text in heard.read_text(), f"logs -f shows {text!r}", 300, heard.read_text)

    says("on 1 process(es)")
    running = launcher.await_state(name, lambda run: run["state"] == "running", "running")
    assert running["wanted"] == 1
    until(lambda: saved_steps(out) >= 10, "a checkpoint", 300, heard.read_text)

    launcher("scale", name, "3")
    says("on 3 process(es)")
    until(lambda: launcher.status(name)["active"] == 3, "three workers are active")

    launcher("scale", name, "2")
    says("on 2 process(es)")

    before = saved_steps(out)
    until(lambda: saved_steps(out) > before, "another checkpoint", 300, heard.read_text)
    at_kill = saved_steps(out)
    cluster.kubectl("delete", "pod", "-n", launcher.namespace, cluster.worker_0(launcher.namespace, name), "--force")
    until(lambda: resumptions(heard)[-1] >= at_kill * BATCH, "it resumes from its checkpoint", 300, heard.read_text)

    waited = launcher("wait", name, "--timeout", "900", timeout=1000)
    assert "succeeded" in waited.err
    assert following.wait(timeout=120) == 0
    assert launcher.status(name)["state"] == "succeeded"
    [run] = [storage.parent(info.url) for info in storage.list_files(out, "/summary.json", recursive=True)]
    rows = [line for line in storage.read_text(storage.join(run, "metrics.jsonl")).splitlines() if line]
    assert [int(line.split('"step": ')[1].split(",")[0]) for line in rows] == list(range(1, STEPS + 1))
    launcher("cancel", name)
    assert cluster.left(launcher.namespace, name) == []


def saved_steps(out: str) -> int:
    pointers = storage.list_files(out, "/latest.json", recursive=True)
    return int(storage.read_json(pointers[0].url)["step"]) if pointers else 0


def resumptions(heard: Path) -> list[int]:
    """Samples at which the run was resumed, in order."""
    lines = [line.partition("resuming  at ")[2] for line in heard.read_text().splitlines() if "resuming  at " in line]
    return [0, *(int(line.split()[0].replace(",", "")) for line in lines)]
