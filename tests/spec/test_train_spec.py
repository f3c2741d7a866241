"""The spec of a training run: DataComp's recipes, what replaces their values, and what is refused."""

import json
import math
from dataclasses import fields, replace
from fractions import Fraction

import pytest

from datascaler.errors import ConfigError
from datascaler.spec.scales import SCALES, scale_named
from datascaler.spec.train import RUNTIME_FIELDS, TrainSpec, datacomp_recipe


def recipe(**overrides: object) -> TrainSpec:
    return datacomp_recipe("small", **{"data_dir": "pool", "output_dir": "out", **overrides})


@pytest.mark.parametrize(
    ("scale", "arch", "samples", "batch", "lr", "warmup", "beta2"),
    [
        # arXiv 2304.14108, Table 14.
        ("debug", "ViT-B-32", 128_000, 1024, 1e-4, 500, 0.98),
        ("small", "ViT-B-32", 12_800_000, 4096, 5e-4, 500, 0.98),
        ("medium", "ViT-B-32", 128_000_000, 4096, 5e-4, 500, 0.98),
        ("large", "ViT-B-16", 1_280_000_000, 8192, 5e-4, 500, 0.98),
        ("xlarge", "ViT-L-14", 12_800_000_000, 90_112, 1e-3, 10_000, 0.95),
    ],
)
def test_datacomps_recipes(
    scale: str, arch: str, samples: int, batch: int, lr: float, warmup: int, beta2: float
) -> None:
    spec = datacomp_recipe(scale.upper(), data_dir="pool", output_dir="out")
    assert (spec.scale, spec.model_arch, spec.train_num_samples) == (scale, arch, samples)
    assert (spec.batch_size, spec.lr, spec.warmup_steps, spec.beta2) == (batch, lr, warmup, beta2)
    assert (spec.weight_decay, spec.beta1, spec.eps, spec.use_mup) == (0.2, 0.9, 1e-6, False)
    assert spec.steps == samples // batch
    assert spec.fraction == 1


def test_what_the_user_gives_replaces_the_recipe() -> None:
    spec = recipe(lr=1e-3, batch_size=512, model_arch="ViT-B-16", beta2=0.95, warmup_steps=0, seed=3, method="dfn")
    assert (spec.lr, spec.batch_size, spec.model_arch, spec.beta2) == (1e-3, 512, "ViT-B-16", 0.95)
    assert (spec.warmup_steps, spec.seed, spec.method) == (0, 3, "dfn")
    assert recipe(lr=None, batch_size=None, seed=None) == recipe()


def test_mup_changes_no_other_value() -> None:
    assert recipe(use_mup=True) == replace(recipe(), use_mup=True)
    assert recipe(use_mup=True, eps=1e-7, beta1=0.95) == replace(recipe(), use_mup=True, eps=1e-7, beta1=0.95)


def test_an_unknown_scale_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="unknown scale 'huge'; known: debug, small, medium, large, xlarge"):
        scale_named("huge")
    assert [scale_named(name) for name in SCALES] == list(SCALES.values())


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"train_num_samples": 0}, "train_num_samples must be above 0, got 0"),
        ({"batch_size": 0}, "batch_size must be above 0, got 0"),
        ({"lr": 0.0}, "lr must be above 0, got 0.0"),
        ({"lr": -1e-4}, "lr must be above 0"),
        ({"lr": math.nan}, "lr must be above 0"),
        ({"lr": math.inf}, "lr must be above 0"),
        ({"num_checkpoints": 0}, "num_checkpoints must be above 0"),
        ({"log_every_steps": 0}, "log_every_steps must be above 0"),
        ({"weight_decay": -0.1}, "weight_decay must not be negative, got -0.1"),
        ({"weight_decay": math.nan}, "weight_decay must not be negative"),
        ({"warmup_steps": -1}, "warmup_steps must not be negative"),
        ({"seed": -1}, "seed must not be negative"),
        ({"seed": 1 << 64}, "seed must be from 0 to 2^64 - 1, got 18446744073709551616"),
        ({"device_batch_size": -1}, "device_batch_size must not be negative"),
        ({"num_workers": -1}, "num_workers must not be negative"),
        ({"eps": -1e-8}, "eps must not be negative"),
        ({"beta1": 1.0}, "beta1 must be at least 0 and below 1, got 1.0"),
        ({"beta2": -0.1}, "beta2 must be at least 0 and below 1"),
        ({"min_coverage": 1.1}, "min_coverage must be at least 0 and at most 1"),
        ({"fraction": Fraction(0)}, "fraction must be above 0 and at most 1, got 0"),
        ({"fraction": Fraction(3, 2)}, "fraction must be above 0 and at most 1, got 1.5"),
        ({"fraction": Fraction(3, 10)}, "fraction 0.3 needs the subset to train on: give --subset-file"),
        ({"precision": "fp16"}, "precision must be auto, fp32 or bf16, got 'fp16'"),
        ({"decode": "slow"}, "decode must be bicubic or fast, got 'slow'"),
        ({"storage_client": "boto3"}, "storage_client must be fsspec or obstore, got 'boto3'"),
        ({"storage_client": "obstore", "num_workers": 0}, "in loader processes only: set num_workers to 1 or more"),
        ({"cache_bytes": 0}, "cache_bytes must be above 0, got 0"),
        ({"no_plan": True, "plan_file": "a.plan"}, "plan_file a.plan needs a plan: leave out no_plan, or plan_file"),
        ({"no_plan": True, "cache_dir": "/tmp/c"}, "cache_dir /tmp/c needs a plan: leave out no_plan, or cache_dir"),
        ({"no_plan": True, "min_coverage": 0.5}, "min_coverage 0.5 needs a plan: leave out no_plan, or min_coverage"),
        ({"train_num_samples": 100, "batch_size": 101}, "not one step would be taken"),
        ({"schedule": "linear"}, "schedule must be cosine or wsd, got 'linear'"),
        ({"cooldown": 1.0}, "cooldown must be above 0 and below 1, got 1"),
        ({"branch_at": (4096, 8192)}, "branch_at needs schedule wsd: no part of a cosine is another budget's too"),
        (
            {"branch_at": (8192, 4096), "train_num_samples": 5000, "schedule": "wsd"},
            "branch_at 8192 is more than train_num_samples 5000, the largest of the budgets",
        ),
        (
            {"branch_at": (8192, 9000), "schedule": "wsd"},
            "branch_at 8192, 9000: each budget must have a step more than the one before, of batch_size 4096",
        ),
        ({"branch_at": (4000, 9000), "schedule": "wsd"}, "each budget must have a step more"),
        ({"eval_every": -1}, "eval_every must not be negative, got -1"),
        ({"eval_every": 1000}, "eval_every and eval_data_dir go together"),
        ({"eval_data_dir": "sets"}, "eval_every and eval_data_dir go together"),
    ],
)
def test_refused_values(overrides: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        recipe(**overrides)
    assert message in str(caught.value)


@pytest.mark.parametrize("given", [{"subset_file": "a.npy"}, {"plan_file": "a.plan"}])
def test_a_part_of_the_pool_needs_its_subset_or_plan(given: dict[str, object]) -> None:
    assert recipe(fraction=Fraction(3, 10), **given).fraction == Fraction(3, 10)


def test_how_a_run_is_carried_out_is_no_part_of_what_it_is() -> None:
    assert {"cache_dir", "cache_bytes", "storage_client"} < RUNTIME_FIELDS
    assert not {"decode", "no_plan", "seed"} & RUNTIME_FIELDS
    assert {each.name for each in fields(TrainSpec)} > RUNTIME_FIELDS


def test_whole_batches_only() -> None:
    assert recipe(train_num_samples=1000, batch_size=300).steps == 3
    assert recipe(train_num_samples=300, batch_size=300).steps == 1


def test_budgets_are_runs_and_the_longest_is_the_spec_itself() -> None:
    million = 1_000_000
    spec = recipe(schedule="wsd", branch_at=(16 * million, 4 * million, 8 * million))
    assert spec.train_num_samples == 16 * million
    assert [each.train_num_samples for each in spec.budgets] == [4 * million, 8 * million, 16 * million]
    assert not any(each.branch_at for each in spec.budgets)
    assert spec.budgets[-1].folder == spec.folder
    # A largest budget that is said apart is the same; one budget is no ladder.
    assert recipe(schedule="wsd", branch_at=(8 * million, 4 * million), train_num_samples=16 * million) == spec
    assert recipe(schedule="wsd", branch_at=(16 * million,)) == spec.budgets[-1]
    assert spec.budgets[-1].budgets == [spec.budgets[-1]]


def test_a_folder_for_every_point_that_a_person_varies() -> None:
    assert recipe().folder == "small/none-f1.0/ViT-B-32-w1.0-b1.0-sp/lr0.0005-wd0.2-wu500-n12800000-s0"
    changes: list[dict[str, object]] = [
        {"method": "clip", "fraction": Fraction(3, 10), "subset_file": "x.npy"},
        {"method": "clip", "fraction": Fraction(1, 3), "subset_file": "x.npy"},
        {"model_arch": "ViT-B-16"},
        {"width_mult": Fraction(3, 16)},
        {"min_width_mult": Fraction(3, 16)},
        {"use_mup": True},
        {"lr": 1e-3},
        {"weight_decay": 0.1},
        {"warmup_steps": 10},
        {"train_num_samples": 1_000_000},
        {"seed": 1},
        {"schedule": "wsd"},
        {"schedule": "wsd", "cooldown": 0.1},
    ]
    folders = {recipe(**change).folder for change in changes} | {recipe().folder}
    assert len(folders) == len(changes) + 1
    assert all(folder.count("/") == 3 for folder in folders)


def test_the_record_is_plain_and_comes_back() -> None:
    spec = recipe(fraction=Fraction(1, 3), subset_file="x.npy", width_mult=Fraction(3, 16), use_mup=True)
    record = json.loads(json.dumps(spec.record()))
    assert (record["fraction"], record["width_mult"], record["lr"]) == ("1/3", "3/16", 5e-4)
    assert TrainSpec.from_record(record) == spec
    assert TrainSpec.from_record({**record, "a field of a later version": 1}) == spec
