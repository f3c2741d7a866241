"""`train` in one process: what it writes, what it refuses, and that it says so before it trains."""

import json
import math
import os
import pickle
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch

from datascaler import storage
from datascaler.data.plan.compile_plan import build_plan
from datascaler.data.plan.plan_file import write_plan
from datascaler.data.pool.shards import find_shards
from datascaler.data.pool.uids import uid_array
from datascaler.data.runs.run_folder import RunSummary, finished, run_url
from datascaler.data.subset.subset import write_subset
from datascaler.errors import BadInputError, ConfigError, DatascalerError, DivergedError, StorageError
from datascaler.models.load import load_clip
from datascaler.models.run_weights import newest_checkpoint
from datascaler.spec.train import TrainSpec
from datascaler.train import train_clip as run_module
from datascaler.train.checkpoint import Checkpoints, Progress
from datascaler.train.loading.batches import Batch, BatchSource, iterate_batches
from datascaler.train.train_clip import train_clip
from tests.train.runs import (
    ARCH,
    BATCH,
    STEPS,
    checkpoint_of,
    differing_weights,
    largest_difference,
    make_pool,
    make_pool_with_faults,
    metrics_of,
    tiny_spec,
    uid,
)


@pytest.fixture(scope="module")
def done(pool: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainSpec, RunSummary, list[str]]:
    """A finished run under the standard parametrisation, and what it said."""
    spec = tiny_spec(pool, str(tmp_path_factory.mktemp("done")))
    said: list[str] = []
    summary = train_clip(spec, "the command", said.append)
    assert summary is not None
    return spec, summary, said


def rows_tau(folder: Path) -> float:
    (tau,) = {row["tau"] for row in metrics_of(str(folder))}
    return tau


def test_a_run_folder(done: tuple[TrainSpec, RunSummary, list[str]]) -> None:
    spec, summary, _ = done
    folder = Path(run_url(spec))
    assert folder.relative_to(spec.output_dir).as_posix() == (
        f"debug/none-f1.0/{ARCH}-w0.25-b0.25-sp/lr0.001-wd0.2-wu2-n96-s0"
    )
    assert {path.name for path in folder.iterdir()} == {
        *("run.json", "metrics.jsonl", "checkpoints", "mup.json", "summary.json"),
    }
    # The newest two are kept.
    kept = {path.name for path in (folder / "checkpoints").iterdir()}
    assert kept == {"step_00000007.pt", "step_00000008.pt", "latest.json"}
    record = json.loads((folder / "run.json").read_text())
    assert record["command"] == "the command"
    # 12 / (1e-3 x 0.2 x 96)
    assert record["tau"] == rows_tau(folder) == pytest.approx(625.0)
    assert TrainSpec.from_record(record["spec"]) == spec
    assert summary == finished(str(folder))
    assert (summary.steps, summary.samples_seen, summary.substituted) == (STEPS, STEPS * BATCH, 0)
    rows = metrics_of(str(folder))
    assert [row["step"] for row in rows] == list(range(1, STEPS + 1))
    assert summary.train_loss == rows[-1]["loss"]
    roles = ("input", "hidden", "vector", "scalar")
    assert set(rows[-1]) == {
        *("step", "samples_seen", "epoch", "loss", "lr", "logit_scale", "substituted", "samples_per_second"),
        *(
            *("tau", "data_wait", "start", "processes"),
            "grad_norm",
            *(f"grad_norm_{role}" for role in roles),
            *(f"weight_rms_{role}" for role in roles),
        ),
    }
    assert [row["epoch"] for row in rows] == [round(number * BATCH / 64, 4) for number in range(1, STEPS + 1)]
    assert all(0 <= row["data_wait"] <= 1 and row["samples_per_second"] > 0 for row in rows)
    assert {(row["start"], row["processes"]) for row in rows} == {(1, 1)}


def test_the_outlook_comes_before_the_first_step(pool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    at_first_batch: list[list[str]] = []

    def watched(source: BatchSource, num_workers: int) -> Iterator[Batch]:
        for batch in iterate_batches(source, num_workers):
            at_first_batch.append(list(said))
            yield batch

    monkeypatch.setattr(run_module, "iterate_batches", watched)
    train_clip(tiny_spec(pool, str(tmp_path)), say=said.append)
    assert at_first_batch[0] == said
    text = "\n".join(said)
    for pattern in (
        r"^64 of 64 uids present in this pool \(100\.0%\)$",
        r"^model     ViT-Mini-8-48 x 1/4, [\d.]+M parameters, standard parametrisation$",
        r"^data      64 samples, seen 1\.50 times$",
        r"^steps     8 of 12 samples on 1 process\(es\), cpu$",
        r"^estimate  0:00:\d\d of computing, from one timed step$",
    ):
        assert re.search(pattern, text, re.MULTILINE), (pattern, text)


def test_a_standard_run_is_an_ordinary_open_clip_checkpoint(done: tuple[TrainSpec, RunSummary, list[str]]) -> None:
    """At width 1 `--pretrained PATH` is enough; at others open_clip needs the scaled config as well."""
    _, summary, _ = done
    ours = load_clip(None, summary.run, torch.device("cpu"))
    config = open_clip.get_model_config(ARCH)
    config["vision_cfg"] |= {"width": 24, "head_width": 4}
    config["text_cfg"] |= {"width": 24}
    stock = open_clip.CLIP(**(config | {"embed_dim": 24})).eval()
    open_clip.load_checkpoint(stock, summary.checkpoint, strict=True)
    assert_same_features(ours.model, stock)


def test_a_full_width_run_loads_by_name(pool: str, tmp_path: Path) -> None:
    one, two = Fraction(1), BATCH * 2
    spec = tiny_spec(pool, str(tmp_path), width_mult=one, min_width_mult=one, train_num_samples=two, num_checkpoints=1)
    summary = train_clip(spec)
    assert summary is not None
    stock, _, preprocess = open_clip.create_model_and_transforms(ARCH, pretrained=summary.checkpoint)
    ours = load_clip(None, summary.run, torch.device("cpu"))
    assert_same_features(ours.model, stock.eval())
    assert re.sub("0x[0-9a-f]+", "", repr(preprocess)) == re.sub("0x[0-9a-f]+", "", repr(ours.preprocess))


def assert_same_features(ours: torch.nn.Module, stock: torch.nn.Module) -> None:
    images = torch.randn(5, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    tokens = open_clip.get_tokenizer(ARCH)(["a red circle", "two cats", "", "x" * 200, "a photo of a dog."])
    with torch.inference_mode():
        for name, content in (("encode_image", images), ("encode_text", tokens)):
            expected = getattr(stock, name)(content, normalize=True)
            torch.testing.assert_close(getattr(ours, name)(content, normalize=True), expected, atol=1e-5, rtol=0)


def test_info_pkl_is_what_datacomps_evaluate_reads_and_means_the_same_there(pool: str, tmp_path: Path) -> None:
    """Under the standard parametrisation and at muP's base width, which is the same model; see also test_run_folder."""
    full = {"width_mult": Fraction(1), "min_width_mult": Fraction(1), "train_num_samples": BATCH}
    for use_mup in (False, True):
        said: list[str] = []
        spec = tiny_spec(pool, str(tmp_path), **full, use_mup=use_mup)
        summary = train_clip(spec, say=said.append)
        assert summary is not None
        info = pickle.loads(Path(run_url(spec), "info.pkl").read_bytes())
        assert info == {
            "scale": "debug",
            "checkpoint": Path(summary.checkpoint),
            "scale_config": {
                "batch_size": BATCH,
                "learning_rate": 1e-3,
                "train_num_samples": BATCH,
                "warmup": 2,
                "model": ARCH,
                "beta2": 0.98,
            },
            "data_dir": Path(spec.data_dir),
        }
        assert not any(line.startswith("info.pkl") for line in said)
        scale_config = info["scale_config"]
        stock = open_clip.create_model(scale_config["model"], pretrained=str(info["checkpoint"])).eval()
        assert_same_features(load_clip(None, summary.run).model, stock)
    first, second = (
        checkpoint_of(run_url(tiny_spec(pool, str(tmp_path), **full, use_mup=mup))) for mup in (False, True)
    )
    assert all(torch.equal(value, second["state_dict"][name]) for name, value in first["state_dict"].items())


def test_a_finished_run_returns_at_once(
    done: tuple[TrainSpec, RunSummary, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, summary, _ = done
    monkeypatch.setattr(run_module, "fresh_model", refuse)
    assert train_clip(replace(spec, num_workers=3, num_checkpoints=1)) == summary


def refuse(*_: Any, **__: Any) -> Any:
    raise AssertionError("too late to get here")


def test_loader_workers_change_no_bit(done: tuple[TrainSpec, RunSummary, list[str]], tmp_path: Path) -> None:
    spec, summary, _ = done
    other = replace(spec, output_dir=str(tmp_path), num_workers=2)
    train_clip(other)
    assert list(differing_weights(summary.run, run_url(other))) == []


def test_pieces_give_the_same_weights(done: tuple[TrainSpec, RunSummary, list[str]], tmp_path: Path) -> None:
    spec, summary, _ = done
    other = replace(spec, output_dir=str(tmp_path), device_batch_size=5)
    train_clip(other)
    assert [row["loss"] for row in metrics_of(run_url(other))] == pytest.approx(
        [row["loss"] for row in metrics_of(summary.run)], abs=1e-5
    )
    # Adam turns the rounding of gradients that are nearly zero into parts of a step of up to lr.
    assert largest_difference(summary.run, run_url(other)) < 0.5 * spec.lr


def test_mup_groups_hold_in_the_checkpoint_after_a_resume(pool: str, tmp_path: Path) -> None:
    half, quarter = Fraction(1, 2), Fraction(1, 4)
    spec = tiny_spec(
        pool, str(tmp_path), width_mult=half, min_width_mult=quarter, use_mup=True, train_num_samples=4 * BATCH,
        num_checkpoints=2, eps=1e-8,
    )  # fmt: skip
    train_clip(spec)
    url = run_url(spec)
    storage.remove(storage.join(url, "summary.json"))
    pointer = {"file": "step_00000002.pt", "step": 2, "samples_seen": 2 * BATCH}
    storage.publish_json(storage.join(url, "checkpoints", "latest.json"), pointer)
    said: list[str] = []
    train_clip(spec, say=said.append)
    assert f"resuming  at {2 * BATCH} samples" in said
    groups = {group["name"]: group for group in checkpoint_of(url)["optimizer"]["param_groups"]}
    hidden = groups.pop("hidden/decay")
    for group in groups.values():
        assert hidden["lr"] / group["lr"] == pytest.approx(0.5)
    assert {name: group["eps"] for name, group in groups.items()} == pytest.approx(
        {"input/decay": 5e-9, "input+vector/no_decay": 5e-9, "scalar/no_decay": 1e-8}
    )
    assert hidden["eps"] == pytest.approx(5e-9)
    assert hidden["weight_decay"] == pytest.approx(2 * 0.2)
    table = storage.read_json(storage.join(url, "mup.json"))
    assert "visual.proj" in json.dumps(table)
    assert [row["step"] for row in metrics_of(url)] == [1, 2, 3, 4]


# ---- what is refused, before anything is trained ---------------------------------------------------------------


def subset_of(folder: Path, uids: list[str], **recipe: Any) -> str:
    (url,) = write_subset(f"{folder}/best", uid_array(sorted(uids)), recipe, ["npy"])
    return url


def uids_of(pool: str) -> list[str]:
    import pyarrow.parquet as pq

    uids: list[str] = pq.read_table(f"{pool}/metadata/pool.parquet").column("uid").to_pylist()
    return uids


REFUSED: dict[str, tuple[Callable[[str, Path], dict[str, Any]], type[DatascalerError], str]] = {
    "subset of another pool": (
        lambda _, folder: {"subset_file": subset_of(folder, [uid(1)])},
        ConfigError,
        r"best\.npy matches nothing in .*: 0 of 1 uids present in this pool \(0\.0%\)",
    ),
    "too little of the subset": (
        lambda pool, folder: {
            "subset_file": subset_of(folder, [*uids_of(pool)[:3], uid(1)]),
            "min_coverage": 0.8,
        },
        ConfigError,
        r"3 of 4 uids present in this pool \(75\.0%\), less than --min-coverage 0\.8",
    ),
    "another method": (
        lambda pool, folder: {
            "subset_file": subset_of(folder, uids_of(pool)[:3], method="clip", fraction="0.3"),
            "method": "dfn",
            "fraction": Fraction(3, 10),
        },
        ConfigError,
        r"--method is dfn, but .*best\.npy was chosen by clip",
    ),
    "another fraction": (
        lambda pool, folder: {
            "subset_file": subset_of(folder, uids_of(pool)[:3], method="clip", fraction="0.3"),
            "method": "clip",
            "fraction": Fraction(4, 10),
        },
        ConfigError,
        r"--fraction is 0\.4, but .*best\.npy holds 0\.3",
    ),
    "illegal width": (
        lambda *_: {"width_mult": Fraction("0.3"), "min_width_mult": Fraction("0.3")},
        ConfigError,
        r"width multiplier 0\.3 gives widths that are not whole numbers; nearest legal: 0\.25 and 0\.3125",
    ),
    "base wider than the model": (
        lambda *_: {"use_mup": True, "min_width_mult": Fraction(1, 2)},
        ConfigError,
        r"minimum width multiplier must be at most the width multiplier 0\.25, got 0\.5",
    ),
    "unknown arch": (
        lambda *_: {"model_arch": "ViT-B-23"},
        ConfigError,
        r"unknown architecture 'ViT-B-23'; did you mean ViT-B-32",
    ),
    "no pool": (
        lambda *_: {"data_dir": "/nowhere/pool"},
        ConfigError,
        r"no \.tar files in /nowhere/pool nor in /nowhere/pool/shards",
    ),
    "no subset file": (
        lambda *_: {"subset_file": "/nowhere/best.npy"},
        StorageError,
        r"/nowhere/best\.npy: not found",
    ),
    "output below a file": (
        lambda _, folder: {"output_dir": str(touched(folder / "file"))},
        StorageError,
        r"cannot write below .*file: .*(File exists|Not a directory)",
    ),
    "plan of another pool": (
        lambda _, folder: {"plan_file": plan_of(make_pool_with_faults(f"{folder}/p", lambda _: False, 4, 4), folder)},
        ConfigError,
        r"the plan needs shard 00000000\.tar, which this pool does not have",
    ),
    "plan of another subset": (
        lambda pool, folder: {
            "plan_file": plan_of(pool, folder, uids_of(pool)[:4]),
            "subset_file": subset_of(folder, uids_of(pool)[:5]),
        },
        ConfigError,
        r"the plan .*wrong\.plan was made for another subset than .*best\.npy",
    ),
    "no plan at all": (
        lambda _, folder: {"plan_file": str(touched(folder / "some.plan"))},
        ConfigError,
        r"some\.plan",
    ),
}


def touched(path: Path) -> Path:
    path.write_text("a file")
    return path


def plan_of(pool: str, folder: Path, uids: list[str] | None = None) -> str:
    from datascaler.data.tables.index_tables import index_pool

    shards = find_shards(pool)
    index_pool(shards, f"{folder}/tables", 1)
    plan, _ = build_plan(shards, f"{folder}/tables", uid_array(sorted(uids)) if uids else None)
    write_plan(f"{folder}/wrong.plan", plan)
    return f"{folder}/wrong.plan"


@pytest.mark.parametrize("case", REFUSED)
def test_refused_before_anything_is_built(
    case: str, pool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes, kind, message = REFUSED[case]
    monkeypatch.setattr(run_module, "fresh_model", refuse)
    with pytest.raises(kind, match=message) as raised:
        train_clip(replace(tiny_spec(pool, str(tmp_path / "out")), **changes(pool, tmp_path)))
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.rglob("checkpoints"))


def test_another_batch_size_in_the_same_folder_is_refused(done: tuple[TrainSpec, RunSummary, list[str]]) -> None:
    spec, _, _ = done
    with pytest.raises(ConfigError, match="holds another run: batch_size was 12 and is now 16"):
        train_clip(replace(spec, batch_size=16))
    # What people vary is in the folder's name, so it can't collide.
    for change in ({"lr": 2e-3}, {"seed": 1}, {"train_num_samples": 960}, {"use_mup": True}, {"weight_decay": 0.1}):
        assert run_url(replace(spec, **change)) != run_url(spec)


def test_a_shard_that_changed_ends_the_run_before_it_goes_on(tmp_path: Path) -> None:
    pool = make_pool_with_faults(str(tmp_path / "pool"), lambda _: False)
    spec = tiny_spec(pool, str(tmp_path / "out"), train_num_samples=2 * BATCH, num_checkpoints=1)
    train_clip(spec)
    plan = next((tmp_path / "out" / "plans").iterdir())
    shard = tmp_path / "pool" / "00000002.tar"
    shard.write_bytes(shard.read_bytes() + b"\0" * 10240)
    with pytest.raises(ConfigError, match="holds another run: pool_digest was"):
        train_clip(spec)
    with pytest.raises(ConfigError, match=r"shard .*00000002\.tar is not the one that the plan was made from"):
        train_clip(replace(spec, output_dir=str(tmp_path / "other"), plan_file=str(plan)))


def test_a_loss_that_is_not_finite_stops_before_the_update(pool: str, tmp_path: Path) -> None:
    spec = tiny_spec(pool, str(tmp_path), lr=1e30, warmup_steps=0)
    message = r"the loss is nan at learning rate .*nothing was updated: try a lower"
    with pytest.raises(DivergedError, match=message):
        train_clip(spec)
    record = storage.join(run_url(spec), "diverged.json")
    saved = storage.read_json(record)["step"] - 1
    # A pod that is started again must not spend the same hours again.
    with pytest.raises(DivergedError, match=rf"step {saved + 1}: {message}.*remove {re.escape(record)} to try again"):
        train_clip(spec)
    assert checkpoint_of(run_url(spec))["samples_seen"] == saved * BATCH
    assert finished(run_url(spec)) is None
    assert all(math.isfinite(row["loss"]) for row in metrics_of(run_url(spec)))


def test_a_run_that_is_not_complete_is_used_with_a_word_and_under_its_own_name(
    done: tuple[TrainSpec, RunSummary, list[str]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, summary, _ = done
    assert load_clip(pretrained=summary.run).arch == ARCH
    assert "not complete" not in caplog.text
    content = checkpoint_of(summary.run)
    torch.save(content | {"samples_seen": 36}, tmp_path / "step_00000003.pt")
    load_clip(pretrained=f"{tmp_path}/step_00000003.pt")
    assert "is of a run that is not complete: it has seen 36 of 96 samples" in caplog.text
    assert load_clip(pretrained=f"{tmp_path}/step_00000003.pt").unfinished == "36 of 96 samples seen"
    assert load_clip(pretrained=summary.run).unfinished == ""
    with pytest.raises(ConfigError, match=rf"is of a run of {ARCH}, not of ViT-B-32: leave out --model"):
        load_clip("ViT-B-32", summary.run)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (1, "the last step left weights that are not finite: try a lower --lr or more --warmup"),
        (2, "the loss is nan, for the step before left weights that are not finite: try a lower"),
    ],
)
def test_weights_that_a_step_spoils_are_never_kept(pool: str, tmp_path: Path, steps: int, message: str) -> None:
    spec = tiny_spec(pool, str(tmp_path), lr=1e39, warmup_steps=0, train_num_samples=steps * BATCH)
    with pytest.raises(DivergedError, match=message):
        train_clip(spec)
    assert (finished(run_url(spec)), newest_checkpoint(run_url(spec))) == (None, None)
    with pytest.raises(DivergedError, match=rf"step {steps}: {message}"):
        train_clip(spec)


def test_what_would_waste_the_hours_is_said_before_them(tmp_path: Path) -> None:
    pool = make_pool(str(tmp_path / "pool"), samples=8, samples_per_shard=8)
    said: list[str] = []
    train_clip(tiny_spec(pool, str(tmp_path / "out"), train_num_samples=BATCH, warmup_steps=7), say=said.append)
    warnings = [line for line in said if line.startswith("warning")]
    assert "a batch of 12 is more than the 8 samples: pairs meet copies of themselves in it" in warnings[0]
    assert "the run has 1 steps and its warm-up 7: the learning rate still rises when it ends" in warnings[1]


def test_checkpoints_by_the_clock(pool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Besides those at even steps, which here is the last one."""
    saved: list[int] = []
    save = Checkpoints.save

    def recorded(self: Checkpoints, step: int, at: Progress) -> str:
        saved.append(step)
        return save(self, step, at)

    monkeypatch.setattr(Checkpoints, "save", recorded)
    for minutes, expected in ((0.0, [STEPS]), (1000.0, [STEPS]), (1e-9, list(range(1, STEPS + 1)))):
        train_clip(tiny_spec(pool, str(tmp_path / str(minutes)), num_checkpoints=1, checkpoint_minutes=minutes))
        assert saved == expected
        saved.clear()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_pool_without_one_good_image_is_an_error_of_one_line(tmp_path: Path, num_workers: int) -> None:
    pool = make_pool_with_faults(str(tmp_path / "pool"), lambda _: True, samples=24)
    with pytest.raises(
        BadInputError, match=r"^none of the \d+ samples that could stand in for draw \d+ can be read and decoded$"
    ):
        train_clip(tiny_spec(pool, str(tmp_path / "out"), num_workers=num_workers))


# ---- plans -----------------------------------------------------------------------------------------------------


def test_the_plan_beside_the_subset_is_taken(pool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = uids_of(pool)[::2]
    subset = subset_of(tmp_path, chosen)
    Path(plan_of(pool, tmp_path, chosen)).rename(tmp_path / "best.plan")
    from datascaler.data.plan import make_plan

    monkeypatch.setattr(make_plan, "index_pool", refuse)
    said: list[str] = []
    train_clip(tiny_spec(pool, str(tmp_path / "out"), subset_file=subset, train_num_samples=BATCH), say=said.append)
    assert "32 of 32 uids present in this pool (100.0%)" in said
    assert not (tmp_path / "out" / "plans").exists()


def test_a_subset_from_elsewhere_gets_a_plan_by_index_once(
    pool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan of another subset beside it, and somebody's json under the recipe's name, are left alone."""
    np.save(tmp_path / "best.npy", uid_array(sorted(uids_of(pool)[:20])))
    (tmp_path / "best.json").write_text("[1, 2]")
    Path(plan_of(pool, tmp_path, uids_of(pool)[:3])).rename(tmp_path / "best.plan")
    spec = tiny_spec(pool, str(tmp_path / "out"), subset_file=str(tmp_path / "best.npy"), train_num_samples=BATCH)
    said: list[str] = []
    train_clip(spec, say=said.append)
    assert "20 of 20 uids present in this pool (100.0%)" in said
    assert len(list((tmp_path / "out" / "plans").iterdir())) == 1
    from datascaler.data.plan import make_plan

    monkeypatch.setattr(make_plan, "index_pool", refuse)
    train_clip(replace(spec, lr=5e-4))


# ---- checkpoints -----------------------------------------------------------------------------------------------


class Malicious:
    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self._mark),)


@pytest.mark.parametrize("content", ["malicious", "truncated", "not a dict", "of another model"])
def test_a_checkpoint_that_is_not_ours_is_refused_and_runs_nothing(content: str, pool: str, tmp_path: Path) -> None:
    spec = tiny_spec(pool, str(tmp_path / "out"), train_num_samples=BATCH, num_checkpoints=1)
    train_clip(spec)
    url = run_url(spec)
    storage.remove(storage.join(url, "summary.json"))
    checkpoint = Path(url, "checkpoints", "step_00000001.pt")
    # As earlier versions left it: no checksum tells that the file was exchanged.
    storage.publish_json(storage.join(url, "checkpoints", "latest.json"), {"file": checkpoint.name})
    mark = tmp_path / "mark"
    if content == "malicious":
        torch.save({"state_dict": {}, "spec": Malicious(mark)}, checkpoint)
        expected = "was refused: it holds more than weights"
    elif content == "truncated":
        checkpoint.write_bytes(checkpoint.read_bytes()[:50_000])
        expected = "is not a readable checkpoint"
    elif content == "not a dict":
        torch.save([1, 2], checkpoint)
        expected = "is not a checkpoint: it holds list"
    else:
        torch.save({"state_dict": {}}, checkpoint)
        expected = "was made with another width, base width or parametrisation"
    with pytest.raises(ConfigError, match=expected) as raised:
        train_clip(spec)
    assert "\n" not in str(raised.value)
    assert not mark.exists()
