"""Every verb, told to stop at a hundred random moments: 143 or 130, nothing half done, and the next run goes on.

SIGKILL at one process of a run: within 10 s there is no other one, and nobody trains beside a run that goes on.
"""

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from hashlib import sha256
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from datascaler import storage
from datascaler.data.runs.run_folder import run_url
from datascaler.models.run_weights import newest_checkpoint, read_checkpoint
from datascaler.score.score_pool import score_pool
from datascaler.spec.score import ScoreSpec
from datascaler.spec.sweep import SweepSpec
from datascaler.spec.train import TrainSpec
from datascaler.train.train_clip import train_clip
from tests.evaluate.sets import labelled, write_set
from tests.stopping import Command, marked, stops
from tests.tiny_clip import save_local_dir
from tests.train.runs import BATCH, make_pool, tiny_spec
from tests.train.test_interrupted import saved_steps

pytestmark = [pytest.mark.slow, pytest.mark.timeout(5400)]

MOMENTS = 100
GO_ON = 4
"""Commands that are run again, to their end: it takes as long as all the rest."""
TASKS = """
pets:
  name: Pets
  size: 12
  main_metric: acc1
  num_classes: 6
"""


@dataclass
class Site:
    """What the verbs work on."""

    folder: Path
    pool: str
    scored: Path
    """An output folder of `score`."""
    model: str
    run: str
    """A trained one."""

    def train_spec(self, out: str) -> TrainSpec:
        return tiny_spec(self.pool, out, train_num_samples=12 * BATCH, num_checkpoints=12, num_workers=1)

    def arguments(self, verb: str, out: str) -> Sequence[str]:
        to = ["--output-dir", out]
        pool = ["--data-dir", self.pool]
        if verb == "subset":
            # It writes where the tables are.
            if not Path(out).exists():
                shutil.copytree(self.scored, out)
            return ["subset", *to, "--method", "clip", "--fraction", "0.5", "--formats", "npy,pkl,txt,parquet"]
        if verb == "train":
            return ["train", *self.train_spec(out).arguments()]
        if verb == "sweep":
            return ["sweep", *SweepSpec(base=self.train_spec(out), lrs=(1e-3, 2e-3)).arguments()]
        return {
            "pool index": ["pool", "index", *pool, *to],
            "pool check": ["pool", "check", *pool],
            "subset materialize": [
                *("subset", "materialize", str(self.scored / "subsets/half.npy")),
                *(*pool, *to, "--samples-per-shard", "8"),
            ],
            "score": ["score", *pool, *to, "--method", "clip", "--model", self.model, "--num-workers", "1"],
            "eval": [
                *("eval", "--pretrained", self.run, "--data-dir", str(self.folder / "sets")),
                *("--task-dir", str(self.folder / "tasks"), *to, "--num-workers", "1"),
            ],
            "demo": ["demo", *to],
        }[verb]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("site")
    pool, scored = make_pool(f"{folder}/pool"), folder / "scored"
    model = save_local_dir(f"{folder}/tiny")
    score_pool(ScoreSpec(data_dir=pool, output_dir=str(scored), method="clip", model=model, pretrained=None))
    site = Site(folder, pool, scored, model, "")
    half = Command(*site.arguments("subset", str(scored)), "--subset-name", "half")
    with half:
        assert half.wait() == 0, half.said()
    spec = site.train_spec(f"{folder}/runs")
    train_clip(spec)
    site.run = run_url(spec)
    write_set(f"{folder}/sets/wds_pets_test", labelled(12))
    storage.publish_text(f"{folder}/tasks/tasklist.yml", TASKS)
    return site


@pytest.mark.parametrize(
    "verb", ["pool check", "pool index", "subset", "subset materialize", "score", "train", "sweep", "eval", "demo"]
)
def test_a_command_that_is_told_to_stop_does_and_the_next_run_goes_on(verb: str, site: Site, tmp_path: Path) -> None:
    def command(at: int) -> Command:
        module = "tests.demo.miniature" if verb == "demo" else ""
        return Command(*site.arguments(verb, str(tmp_path / f"{at}")), module=module)

    found = stops(command, MOMENTS, seed=len(verb))
    assert [each for each in found if not each.is_right] == []
    assert list(tmp_path.rglob("*.tmp-*")) == []
    for at in range(0, MOMENTS, MOMENTS // GO_ON):
        with command(at) as again:
            assert again.wait(600) == 0, again.said()
        assert kept(tmp_path / f"{at}") == kept(tmp_path / "-1"), f"stopped after {found[at].moment:.2f} s"
        shutil.rmtree(tmp_path / f"{at}", ignore_errors=True)


def kept(folder: Path) -> dict[str, str]:
    """What a verb made, by its place, without times and without the folder's own name, which a list of shards has."""
    read: dict[str, Callable[[Path], object]] = {
        ".npy": Path.read_bytes,
        ".tar": Path.read_bytes,
        ".parquet": lambda path: pq.read_table(path).to_pylist(),
        ".pt": lambda path: path.name,
    }
    digests = {
        str(path.relative_to(folder)): sha256(
            repr(read[path.suffix](path)).replace(f"{folder}/", "").encode()
        ).hexdigest()
        for path in folder.rglob("*")
        if path.suffix in read
    }
    for summary in folder.rglob("summary.json"):
        run = str(summary.parent)
        if url := newest_checkpoint(run):
            state = read_checkpoint(url)["state_dict"]
            digests[f"weights of {summary.parent.relative_to(folder)}"] = sha256(
                b"".join(
                    value.contiguous().view(torch.uint8).numpy().tobytes() for value in state.values() if value.ndim
                )
            ).hexdigest()
    return digests


# ---- SIGKILL ---------------------------------------------------------------------------------------------------


@contextmanager
def started(spec: TrainSpec, *more: str) -> Iterator[Command]:
    """A run that has saved three more steps."""
    before = saved_steps(spec)
    with Command("train", *spec.arguments(), *more) as command:
        deadline = time.monotonic() + 240
        while saved_steps(spec) < before + 3:
            assert command.process.poll() is None, command.said()
            assert time.monotonic() < deadline, command.said()
            time.sleep(0.05)
        yield command


def long_spec(site: Site, out: Path) -> TrainSpec:
    return tiny_spec(
        site.pool,
        str(out),
        train_num_samples=4000 * BATCH,
        num_checkpoints=4000,
        num_workers=2,
        width_mult=Fraction(1, 4),
    )


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def victim(command: Command, kind: str) -> int:
    """A process of a run on two processes with two loaders each."""
    lines = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in marked(command.mark)}
    servers = [pid for pid, line in lines.items() if b"multiprocessing.forkserver" in line]
    launcher = command.process.pid
    return {
        "launcher": [launcher],
        "trainer": [pid for pid in lines if parent(pid) == launcher],
        "loader": [pid for pid in servers if parent(pid) in servers],
        "fork server": [pid for pid in servers if parent(pid) not in servers],
    }[kind][0]


@pytest.mark.parametrize("kind", ["launcher", "trainer", "loader", "fork server"])
@pytest.mark.parametrize("processes", [1, 2])
def test_a_run_that_loses_a_process_leaves_none(kind: str, processes: int, site: Site, tmp_path: Path) -> None:
    spec = long_spec(site, tmp_path)
    with started(spec, f"--nproc-per-node={processes}") as run:
        if processes == 1 and kind == "trainer":
            kind = "launcher"  # which trains itself
        os.kill(victim(run, kind), signal.SIGKILL)
        # A fork server is needed no more once its workers have been started.
        if kind == "fork server":
            run.send(signal.SIGTERM)
        assert run.left() == []
        saved = saved_steps(spec)
        if kind != "launcher":
            assert run.wait() in (75, 137, 143), run.said()
            assert "Traceback" not in run.said()
    with started(spec) as again:
        assert f"resuming  at {saved * BATCH:,} samples" in again.said()


def test_a_second_trainer_is_refused_by_name(site: Site, tmp_path: Path) -> None:
    spec = long_spec(site, tmp_path)
    with started(spec) as first:
        with Command("train", *spec.arguments()) as second:
            assert second.wait() == 75
            named = f"datascaler: error: process {first.process.pid} on "
            assert second.said().splitlines()[-1].startswith(named)
        at = saved_steps(spec)
        first.send(signal.SIGKILL)
        first.wait()
        with started(spec) as third:
            assert "resuming  at" in third.said()
            assert saved_steps(spec) > at
