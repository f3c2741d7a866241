"""A spec survives its own command line, whatever its values; and scoring's specs refuse what isn't theirs."""

import json
import random
from collections.abc import Callable
from dataclasses import fields, replace
from fractions import Fraction
from typing import Any

import pytest

from datascaler.cli.subset.subset import subset
from datascaler.cli.train import train
from datascaler.cli.train_options import train_spec
from datascaler.errors import ConfigError
from datascaler.spec.baselines import BaselineSpec, baseline_commands
from datascaler.spec.scales import SCALES
from datascaler.spec.score import METHODS, ScorePart, ScoreSpec, TextOptions
from datascaler.spec.score_captions import CaptionSpec
from datascaler.spec.score_embeddings import EmbeddingSpec
from datascaler.spec.train import TrainSpec, datacomp_recipe

Draw = Callable[[random.Random], Any]
WORDS = (
    "pool",
    "s3://b/a b",
    "it's",
    'say "x"',
    "--lr=1",
    "-x",
    "a=b",
    "$HOME/*",
    "é\n",
    " lead ",
    "a::b/{0..9}.tar",
    "\\",
)


def text(draw: random.Random) -> str:
    return "/".join(draw.choices(WORDS, k=draw.randint(1, 3)))


def maybe(value: Draw) -> Draw:
    return lambda draw: value(draw) if draw.random() < 0.5 else None


def one_of(*values: Any) -> Draw:
    return lambda draw: draw.choice(values)


def whole(low: int, high: int) -> Draw:
    return lambda draw: draw.choice([low, high, draw.randint(low, high), draw.randint(low, min(high, low + 9))])


def number(draw: random.Random) -> float:
    """Above 0, of any size and any number of digits."""
    return draw.choice(
        [1e-7, 0.95, 5e-324, 1.7976931348623157e308, 0.1 + 0.2, 3.0, draw.random() * 10.0 ** draw.randint(-300, 300)]
    )


def share(draw: random.Random) -> float:
    return draw.choice([0.0, 0.95, 0.98, 1 - 2**-53, 1e-7, draw.random()])


def fraction(draw: random.Random) -> Fraction:
    below = draw.randint(1, 10 ** draw.randint(0, 30))
    return draw.choice([Fraction(1), Fraction(3, 16), Fraction(1, 3), Fraction(draw.randint(1, below), below)])


FIELDS: dict[str, Draw] = {
    "data_dir": text,
    "output_dir": text,
    "scale": one_of(*SCALES),
    "method": lambda draw: draw.choice(["none", "clip", text(draw)]),
    "fraction": fraction,
    "subset_file": maybe(text),
    "plan_file": maybe(text),
    "no_plan": one_of(True, False),
    "model_arch": text,
    "width_mult": fraction,
    "min_width_mult": lambda draw: fraction(draw) * draw.randint(1, 5),
    "use_mup": one_of(True, False),
    "init_from": maybe(text),
    "extend": maybe(text),
    "train_num_samples": whole(1 << 40, 1 << 80),
    "schedule": one_of("cosine", "wsd"),
    "cooldown": lambda draw: 0.01 + 0.98 * share(draw),
    "branch_at": lambda draw: tuple(draw.choices([1 << 20, 1 << 21, 1 << 22], k=draw.randint(0, 4))),
    "batch_size": whole(1, 1 << 40),
    "lr": number,
    "weight_decay": number,
    "hold_tau": one_of(True, False),
    "warmup_steps": whole(0, 1 << 60),
    "beta1": share,
    "beta2": share,
    "eps": lambda draw: draw.choice([0.0, number(draw)]),
    "loss": one_of("clip", "siglip"),
    "grad_clip_norm": lambda draw: draw.choice([0.0, number(draw)]),
    "init_temperature": one_of(0.0, 0.01, 1.0, 0.1 + 0.2),
    "seed": whole(0, 1 << 63),
    "tag": one_of("", "b-2.0_x", "-x"),
    "decode": one_of("bicubic", "fast"),
    "precision": one_of("auto", "fp32", "bf16"),
    "grad_checkpointing": one_of(True, False),
    "torch_compile": one_of(True, False),
    "device_batch_size": whole(0, 1 << 40),
    "num_workers": whole(1, 1 << 20),
    "num_checkpoints": whole(1, 1 << 20),
    "checkpoint_minutes": lambda draw: draw.choice([0.0, number(draw)]),
    "keep_every": whole(0, 1 << 40),
    "keep_all": one_of(True, False),
    "log_every_steps": whole(1, 1 << 40),
    "track": one_of((), ("wandb",), ("mlflow", "tensorboard")),
    "loss_limits": lambda draw: tuple(draw.choices(["1M:4.5", "1_000:0.1", "7:-inf"], k=draw.randint(0, 3))),
    "min_coverage": share,
    "max_substituted": share,
    "cache_dir": maybe(text),
    "cache_bytes": whole(1, 1 << 62),
    "storage_client": one_of("fsspec", "obstore"),
    "eval_every": one_of(0, 1, 1 << 60),
    "eval_data_dir": text,
    "eval_tasks": lambda draw: tuple(draw.choices(["imagenet*", "vtab/*", "-x", "a b"], k=draw.randint(0, 3))),
}
"""How to draw each field; a spec with a field more fails here until it has its row."""


def random_spec(seed: int) -> TrainSpec:
    draw = random.Random(seed)
    values = {name: value(draw) for name, value in FIELDS.items()}
    if values["subset_file"] is None and values["plan_file"] is None:
        values["fraction"] = Fraction(1)
    if values["init_from"]:
        values["extend"] = None
    if values["no_plan"]:
        values |= {"plan_file": None, "cache_dir": None, "min_coverage": 0.0}
        values["subset_file"] = values["subset_file"] or "x.npy"
    if not values["eval_every"]:
        values["eval_data_dir"] = None
    if values["schedule"] != "wsd":
        values["branch_at"] = ()
    elif values["branch_at"]:
        values["hold_tau"] = False
        values["batch_size"] = min(values["batch_size"], 1 << 20)
    return TrainSpec(**values)


def parsed(arguments: list[str]) -> TrainSpec:
    """As `datascaler train ARGUMENTS` makes it."""
    with train.make_context("train", list(arguments)) as ctx:
        return train_spec(ctx.params)


def test_a_training_run_survives_its_own_command_line() -> None:
    assert FIELDS.keys() == {each.name for each in fields(TrainSpec)}
    for seed in range(400):
        spec = random_spec(seed)
        assert parsed(spec.arguments()) == spec, seed
        assert TrainSpec.from_record(json.loads(json.dumps(spec.record()))) == spec, seed


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_alone_survives(name: str) -> None:
    # Where no fraction is said, the subset's recipe is asked for it.
    base = datacomp_recipe("small", data_dir="pool", output_dir="out", subset_file="x.npy", fraction=1)
    for seed in range(20):
        value = FIELDS[name](random.Random(seed))
        if (name, value) == ("no_plan", True) or (name == "train_num_samples" and value < base.batch_size):
            continue
        changes = {name: value} | ({"train_num_samples": 1 << 60} if name == "batch_size" else {})
        if name == "branch_at":
            changes["schedule"] = "wsd"
        if name in ("eval_every", "eval_data_dir"):  # which go together
            changes = {"eval_every": 1, "eval_data_dir": "sets"} | {name: value or 2}
        spec = replace(base, **changes)
        assert parsed(spec.arguments()) == spec


def test_equal_runs_have_equal_specs_whoever_writes_them() -> None:
    base = datacomp_recipe("Small", data_dir="pool", output_dir="out", method="CLIP", width_mult="3/16", lr=1)
    again = datacomp_recipe("small", data_dir="pool", output_dir="out", method="clip", width_mult=0.1875, lr=1.0)
    assert base == again
    assert base.folder == "small/clip-f1.0/ViT-B-32-w0.1875-b1.0-sp/lr1-wd0.2-wu500-n12800000-s0"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scale": "smal"}, "unknown scale 'smal'; known: debug, small"),
        ({"batch_size": 12.5}, "batch_size must be a whole number, got 12.5"),
        ({"seed": True}, "seed must be a whole number, got True"),
        ({"width_mult": Fraction(0)}, "width_mult must be above 0, got 0"),
        ({"min_width_mult": Fraction(-1)}, "min_width_mult must be above 0, got -1"),
        ({"fraction": "a third"}, "not a number: 'a third'"),
    ],
)
def test_values_that_no_command_line_gives_back_are_refused(changes: dict[str, Any], message: str) -> None:
    base = datacomp_recipe("small", data_dir="pool", output_dir="out")
    with pytest.raises(ConfigError) as caught:
        replace(base, **changes)
    assert message in str(caught.value)


def test_a_baselines_commands_say_its_very_numbers() -> None:
    for seed in range(100):
        draw = random.Random(seed)
        cut: dict[str, Any] = {"threshold": draw.choice([1e-7, -0.95, 0.0, 0.1 + 0.2, draw.gauss(0, 1) * 1e-5])}
        if seed % 2:
            cut = {"fraction": fraction(draw)}
        where: dict[str, Any] = {"from_metadata": text(draw), "output_dir": text(draw)}
        spec = BaselineSpec(name="clip_score", arch="b32", **where, **cut)
        _, (verb, *arguments) = baseline_commands(spec)
        assert verb == "subset"
        with subset.make_context("subset", arguments) as ctx:
            assert {name: ctx.params[name] for name in cut} == cut
            assert ctx.params["output_dir"] == where["output_dir"]


OWN: dict[type[ScorePart], tuple[str, ...]] = {
    ScoreSpec: ("clip", "dfn", "tmars", "boxes"),
    CaptionSpec: ("clip", "basic", "english", "text_based", "metaclip"),
    EmbeddingSpec: ("negcliploss", "normsim", "dedup", "image_based"),
}


@pytest.mark.parametrize("spec", OWN)
def test_scoring_by_a_method_of_another_spec_is_refused(spec: type[ScorePart]) -> None:
    for method in METHODS:
        if method in OWN[spec]:
            continue
        for spelled in (method, method.upper(), method.replace("_", "-")):
            with pytest.raises(
                ConfigError, match=f"{spec.__name__} does not score by '{method}', only by .*; {method} "
            ):
                spec(data_dir="pool", output_dir="out", method=spelled)
    with pytest.raises(ConfigError, match="unknown method 'clips'; known: clip"):
        spec(data_dir="pool", output_dir="out", method="clips")


def test_scoring_specs_hold_their_own_defaults_and_checks() -> None:
    where: dict[str, Any] = {"data_dir": "pool", "output_dir": "out"}
    spec = ScoreSpec(**where, method="CLIP")
    assert (spec.method, spec.model, spec.pretrained) == ("clip", "ViT-L-14", "openai")
    assert ScoreSpec(**where, method="clip", arch="b32").model == "ViT-B-32"
    assert ScoreSpec(**where, method="dfn").model == "hf-hub:apple/DFN-public"
    assert ScoreSpec(**where, method="dfn", pretrained="out/run").model is None
    refused: list[tuple[type[ScorePart], dict[str, Any], str]] = [
        (ScoreSpec, {"method": "clip", "arch": "h14"}, "unknown arch 'h14'"),
        (ScoreSpec, {"method": "clip", "data_dir": ""}, "give data_dir"),
        (ScoreSpec, {"method": "clip", "from_metadata": "m"}, "not from_metadata"),
        (ScoreSpec, {"method": "clip", "batch_size": 0}, "batch_size must be at least 1, got 0"),
        (ScoreSpec, {"method": "clip", "text": TextOptions(boxes="b")}, "boxes='b'.* has no meaning for method clip"),
        (CaptionSpec, {"method": "english", "min_words": 4}, "min_words 4 has no meaning for method english"),
        (CaptionSpec, {"method": "english", "data_dir": ""}, "english needs one of --data-dir and --from-metadata"),
        (CaptionSpec, {"method": "clip"}, "give --from-metadata"),
        (CaptionSpec, {"method": "clip", "from_metadata": "m"}, "takes the place of --data-dir pool"),
        (EmbeddingSpec, {"method": "dedup", "p": "inf"}, "p inf has no meaning for method dedup"),
        (EmbeddingSpec, {"method": "dedup", "embeddings": "e", "arch": "b32"}, "arch b32 chooses among DataComp's"),
    ]
    for kind, changes, message in refused:
        with pytest.raises(ConfigError, match=message):
            kind(**{**where, **changes})
    for baseline, message in (
        ({"arch": "h14", "threshold": 0.3}, "arch must be b32 or l14, got 'h14'"),
        ({"arch": "b32", "threshold": 1e39}, "threshold must be a finite float32, got 1e[+]39"),
        ({"arch": "b32", "threshold": float("nan")}, "threshold must be a finite float32, got nan"),
        ({"arch": "b32", "fraction": Fraction(3, 2)}, "fraction must be above 0 and at most 1, got 3/2"),
    ):
        with pytest.raises(ConfigError, match=message):
            BaselineSpec(name="clip_score", from_metadata="m", output_dir="out", **baseline)  # type: ignore[arg-type]
