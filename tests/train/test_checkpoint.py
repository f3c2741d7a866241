"""Checkpoints: a damaged one costs the steps since the one before, and nothing else."""

import errno
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from datascaler.data.runs.run_folder import run_url
from datascaler.errors import ConfigError, DamagedError, StorageError
from datascaler.models.optimizer import build_optimizer
from datascaler.models.run_weights import fresh_model, newest_checkpoint, read_checkpoint, saved_checkpoints
from datascaler.train.checkpoint import Checkpoints, Progress
from datascaler.train.recorder import MetricsLog
from datascaler.train.train_clip import train_clip
from tests.train.runs import BATCH, STEPS, differing_weights, make_pool, metrics_of, tiny_spec


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_pool(str(tmp_path_factory.mktemp("pool")), samples=24)


@pytest.fixture(scope="module")
def finished(pool: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finished")
    train_clip(tiny_spec(pool, str(out)))
    return out


def flip(path: Path, at: float = 0.6, bits: int = 0x10) -> None:
    content = bytearray(path.read_bytes())
    content[int(len(content) * at)] ^= bits
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


DAMAGE: dict[str, Callable[[Path], object]] = {
    "rotten": flip,
    "cut": cut,
    "empty": lambda path: path.write_bytes(b""),
    "gone": Path.unlink,
}


def test_the_run_goes_on_from_the_one_before_and_says_so(pool: str, finished: Path, tmp_path: Path) -> None:
    out = shutil.copytree(finished, tmp_path / "out")
    spec = tiny_spec(pool, str(out))
    url = run_url(spec)
    for name in ("run.json", "summary.json"):
        Path(url, name).unlink()
    newest = Path(url, "checkpoints", "step_00000008.pt")
    flip(newest)
    debris = [Path(f"{path}.tmp-{7:032x}") for path in (newest, newest.with_name("latest.json"), Path(url, "run.json"))]
    for path in debris:
        path.write_bytes(b"half")
    said: list[str] = []
    train_clip(spec, say=said.append)
    (told,) = [line for line in said if line.startswith("damaged")]
    assert newest.name in told
    assert told.endswith("going back to step_00000007.pt")
    assert f"resuming  at {7 * BATCH} samples" in said
    assert list(differing_weights(run_url(tiny_spec(pool, str(finished))), url)) == []
    assert [row["step"] for row in metrics_of(url)] == list(range(1, STEPS + 1))
    assert not [path for path in debris if path.exists()]


@pytest.mark.parametrize(
    ("keep", "kept"),
    [({"keep_every": 3}, [8, 7, 6, 3]), ({"keep_every": 3, "num_checkpoints": 1}, [8, 6, 3])],
    ids=str,
)
def test_what_is_kept_for_good(keep: dict[str, int], kept: list[int], pool: str, tmp_path: Path) -> None:
    """Beside the newest two; the steps to keep are saved whatever the others are."""
    spec = tiny_spec(pool, str(tmp_path), **keep)
    train_clip(spec)
    names = [f"step_{step:08d}.pt" for step in kept]
    folder = Path(run_url(spec), "checkpoints")
    assert sorted(path.name for path in folder.glob("*.pt")) == sorted(names)
    assert [each.file for each in saved_checkpoints(run_url(spec))] == names


def test_all_are_kept_on_request(pool: str, tmp_path: Path) -> None:
    spec = tiny_spec(pool, str(tmp_path), keep_all=True, train_num_samples=4 * BATCH)
    train_clip(spec)
    assert len(list(Path(run_url(spec), "checkpoints").glob("*.pt"))) == 4


@pytest.mark.parametrize("damage", DAMAGE)
def test_whatever_the_damage_the_one_before_is_found(damage: str, pool: str, finished: Path, tmp_path: Path) -> None:
    (source,) = finished.rglob("checkpoints")
    folder = shutil.copytree(source, tmp_path / "checkpoints")
    DAMAGE[damage](folder / "step_00000008.pt")
    said: list[str] = []
    assert checkpoints_of(str(tmp_path), pool).find(said.append) == f"{folder}/step_00000007.pt"
    assert len(said) == 1


@pytest.mark.parametrize("content", [None, "[]", "{}", "", "[" * 100_000, '{"file": 3}', '{"checkpoints": [[]]}'])
def test_a_lost_list_is_made_again_from_the_checkpoints(
    content: str | None, pool: str, finished: Path, tmp_path: Path
) -> None:
    (source,) = finished.rglob("checkpoints")
    url, latest = str(tmp_path), shutil.copytree(source, tmp_path / "checkpoints") / "latest.json"
    if content is None:
        latest.unlink()
    else:
        latest.write_text(content)
    assert newest_checkpoint(url) == str(latest.with_name("step_00000008.pt"))
    said: list[str] = []
    checkpoints = checkpoints_of(url, pool)
    at = checkpoints.restore(checkpoints.find(said.append))
    assert at.samples_seen == 8 * BATCH
    assert said[0].endswith("the checkpoints are known by their names, the newest is step_00000008.pt")


def checkpoints_of(url: str, pool: str) -> Checkpoints:
    spec = tiny_spec(pool, "unused")
    clip = fresh_model(spec)
    return Checkpoints(url, spec, clip, build_optimizer(clip.model, clip.table, lr=1e-3, weight_decay=0.2, eps=1e-6))


def test_what_is_kept_is_what_the_run_can_go_on_from_not_the_largest_numbers(pool: str, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    first = checkpoints_of(str(tmp_path), pool)
    assert first.find() is None
    for step in (10, 20, 30):
        first.save(step, Progress(step * BATCH))
    assert names(folder) == ["latest.json", "step_00000020.pt", "step_00000030.pt"]
    (folder / "best.pt").write_bytes(b"somebody's")

    # The newest and the list are lost: steps are saved again under numbers below the damaged one's.
    flip(folder / "step_00000030.pt")
    (folder / "latest.json").unlink()
    again = checkpoints_of(str(tmp_path), pool)
    assert again.restore(again.find()).samples_seen == 20 * BATCH
    again.save(22, Progress(22 * BATCH))
    assert names(folder) == ["best.pt", "latest.json", "step_00000020.pt", "step_00000022.pt"]
    again.save(24, Progress(24 * BATCH))
    assert names(folder) == ["best.pt", "latest.json", "step_00000022.pt", "step_00000024.pt"]
    listed = json.loads((folder / "latest.json").read_text())
    assert (listed["file"], listed["step"], listed["samples_seen"]) == ("step_00000024.pt", 24, 24 * BATCH)
    assert [(each["file"], each["bytes"]) for each in listed["checkpoints"]] == [
        (name, (folder / name).stat().st_size) for name in ("step_00000024.pt", "step_00000022.pt")
    ]

    # None left: refused, and nothing is removed.
    for name in ("step_00000022.pt", "step_00000024.pt"):
        flip(folder / name)
    lost = checkpoints_of(str(tmp_path), pool)
    with pytest.raises(DamagedError, match=r"step_00000024\.pt is not a .* none of the 2 checkpoint\(s\) of this run"):
        lost.find()
    assert names(folder) == ["best.pt", "latest.json", "step_00000022.pt", "step_00000024.pt"]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_checkpoint_given_by_name_is_checked_too(finished: Path, tmp_path: Path) -> None:
    (source,) = finished.rglob("checkpoints")
    folder = shutil.copytree(source, tmp_path / "checkpoints")
    checkpoint = folder / "step_00000008.pt"
    whole = read_checkpoint(str(checkpoint))
    assert whole["samples_seen"] == STEPS * BATCH
    flip(checkpoint)
    with pytest.raises(DamagedError, match=r"its bytes are not those that were saved"):
        read_checkpoint(str(checkpoint))
    # Elsewhere nothing lists it, but torch's own checksums are in it.
    moved = shutil.move(checkpoint, tmp_path / "weights.pt")
    with pytest.raises(DamagedError, match=r"weights\.pt is not a readable checkpoint \(its part .* is damaged\)"):
        read_checkpoint(str(moved))


def test_a_full_disk_says_which(pool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's writer fails in words of its own when the system's error has passed through it."""
    monkeypatch.setattr("tempfile.SpooledTemporaryFile", FullDisk)
    with pytest.raises(StorageError, match=r"no space is left for the temporary files in .*: set TMPDIR"):
        checkpoints_of(str(tmp_path), pool).save(1, Progress(BATCH))
    assert not list(tmp_path.rglob("*.pt*"))


class FullDisk:
    def __init__(self, max_size: int) -> None:
        self._free = max_size // 1000

    def __enter__(self) -> "FullDisk":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def flush(self) -> None:
        pass

    def write(self, content: bytes) -> int:
        self._free -= len(content)
        if self._free < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return len(content)


def test_torn_metrics_are_left_out_and_said(tmp_path: Path) -> None:
    row = '{"step": 1, "samples_seen": 12, "loss": 0.5}\n'
    torn = [
        "\0" * 40 + "\n",
        "[]\n",
        "1\n",
        '{"loss": 2}\n',
        "[" * 100_000 + "\n",
        '{"samples_seen": "x", "loss": 1}\n',
    ]
    path = tmp_path / "metrics.jsonl"
    path.write_bytes("".join([row, *torn, row, row[:20]]).encode() + b"\xff\xfe")
    said: list[str] = []
    log = MetricsLog(str(tmp_path), 12, said.append)
    assert said == [f"damaged   7 of 9 lines of {path} are not readable: left out"]
    assert log.final_loss() == 0.5
    log.publish()
    assert path.read_text() == row * 2
    path.write_bytes(b"\0" * sys.getsizeof(row))
    with pytest.raises(ConfigError, match=r"metrics\.jsonl has lost all losses of this run"):
        MetricsLog(str(tmp_path), 12).final_loss()


def test_torchs_own_files_of_others_are_read(tmp_path: Path) -> None:
    """Both of its formats, and with somebody's latest.json beside them."""
    for name, zipped in (("new.pt", True), ("old.pt", False)):
        torch.save({"a": torch.ones(3)}, tmp_path / name, _use_new_zipfile_serialization=zipped)
        (tmp_path / "latest.json").write_text("[1]" if zipped else '{"epoch": 3}')
        assert torch.equal(read_checkpoint(str(tmp_path / name))["a"], torch.ones(3))
