"""A pool that is staged between the steps of a run: all go on with the copy, and refuse one that differs."""

import os
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from datascaler import storage
from datascaler.data.pool.shards import find_shards
from datascaler.data.runs.run_folder import run_url
from datascaler.data.select.select_subset import select_subset
from datascaler.data.subset.subset import read_subset
from datascaler.errors import ConfigError, StoppedError
from datascaler.score.score_pool import score_pool
from datascaler.spec.score_captions import CaptionSpec
from datascaler.spec.train import TrainSpec
from datascaler.train import step
from datascaler.train.train_clip import train_clip
from tests.train.runs import differing_weights, make_pool, tiny_spec


def captions(pool: str, out: str, index: int) -> int:
    spec = CaptionSpec(data_dir=pool, output_dir=out, method="basic", no_language=True, score_name="basic-x")
    return score_pool(replace(spec, index=index, count=2)).ok


def stop_after(steps: int, spec: TrainSpec) -> None:
    """Some steps of a run, from where it is."""
    asked = iter([False] * (steps - 1) + [True])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step, "stop_requested", lambda: next(asked))
        with pytest.raises(StoppedError):
            train_clip(spec)


def refuse_changes(spec: TrainSpec) -> None:
    """One changed byte, and another size, of a shard of the run's pool."""
    url = find_shards(spec.data_dir)[1].url
    content = storage.read_bytes(url)
    for changed in (content[:700] + bytes([content[700] ^ 1]) + content[701:], content + bytes(512)):
        storage.publish_bytes(url, changed)
        with pytest.raises(ConfigError, match=r"holds another run: pool_digest was|is not the one that the plan"):
            train_clip(spec)
    storage.publish_bytes(url, content)


def require_equal(spec: TrainSpec, whole: TrainSpec) -> None:
    train_clip(whole)
    assert list(differing_weights(run_url(spec), run_url(whole))) == []


def test_score_subset_and_train_go_on_with_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copied for half of the scores and for training, renamed in the middle of it, and linked for its end."""
    monkeypatch.chdir(tmp_path)
    pool, out = make_pool(f"{tmp_path}/pool"), f"{tmp_path}/scored"
    scored = captions(pool, out, 0)
    shutil.copytree(pool, "staged", copy_function=shutil.copyfile)
    for path in Path("staged").rglob("*.tar"):
        os.utime(path, (1, 1))
    scored += captions("staged", out, 1)
    made = select_subset(out, method="random", score_name="basic-x", fraction=Fraction(3, 4), formats=["npy"])
    assert (scored, len(read_subset(made.files[0]))) == (64, 48)
    spec, whole = (
        tiny_spec("staged", f"{tmp_path}/{name}", method="random", fraction=Fraction(3, 4), subset_file=made.files[0])
        for name in ("runs", "undisturbed")
    )
    stop_after(3, spec)
    Path("staged").rename("renamed")
    stop_after(2, replace(spec, data_dir="./renamed"))
    Path("linked").symlink_to("renamed")
    refuse_changes(replace(spec, data_dir="linked"))
    train_clip(replace(spec, data_dir=f"{tmp_path}/linked"))
    require_equal(spec, replace(whole, data_dir=pool))


@pytest.mark.parametrize("no_plan", [False, True], ids=["planned", "streamed"])
def test_a_run_on_object_storage_goes_on_with_a_copy(no_plan: bool, s3_url: str, tmp_path: Path) -> None:
    pool, copy = make_pool(f"{s3_url}/pool"), f"{tmp_path}/copy"
    spec, whole = (tiny_spec(pool, f"{tmp_path}/{name}", no_plan=no_plan) for name in ("runs", "undisturbed"))
    stop_after(3, spec)
    for found in storage.list_files(pool, recursive=True):
        storage.publish_bytes(f"{copy}/{storage.relative_to(found.url, pool)}", storage.read_bytes(found.url))
    refuse_changes(replace(spec, data_dir=copy))
    stop_after(2, replace(spec, data_dir=copy))
    train_clip(spec)
    require_equal(spec, replace(whole, data_dir=copy))
