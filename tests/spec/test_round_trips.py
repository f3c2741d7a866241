"""Every spec survives its own command line: parsed, `spec.arguments()` are the spec again, whatever its fields are."""

import random
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from datascaler.cli.evaluate import eval_spec, evaluate
from datascaler.cli.forecast import forecast_command, forecast_spec
from datascaler.cli.report import report_command, report_spec
from datascaler.cli.score.score import score, score_spec
from datascaler.cli.submit.forecast import ladder_of, submit_forecast
from datascaler.cli.submit.pipeline import submit_pipeline
from datascaler.cli.subset.baseline import baseline
from datascaler.cli.subset.options import subset_spec
from datascaler.cli.subset.sample import sample, sampler_of
from datascaler.cli.subset.subset import subset
from datascaler.cli.sweep import sweep, sweep_spec
from datascaler.errors import ConfigError
from datascaler.spec.baselines import BASELINES, BaselineSpec
from datascaler.spec.evaluate import EvalSpec
from datascaler.spec.field import flat_fields, flat_items, names_read, words_of
from datascaler.spec.forecast import EVIDENCE, ForecastSpec
from datascaler.spec.ladder import LadderSpec
from datascaler.spec.pipeline import PipelineSpec
from datascaler.spec.report import ReportSpec
from datascaler.spec.sampler import Sampler
from datascaler.spec.scales import SCALES
from datascaler.spec.score import ScorePart, ScoreSpec, TextOptions
from datascaler.spec.score_captions import CaptionSpec
from datascaler.spec.score_embeddings import EmbeddingSpec
from datascaler.spec.subset import SubsetSpec
from datascaler.spec.sweep import AXES, MORE_AXES, SweepSpec
from datascaler.spec.train import TrainSpec
from tests.spec.test_command_lines import FIELDS, Draw, fraction, maybe, number, one_of, random_spec, share, text, whole

ROUNDS = 300
SEED = whole(0, 1 << 60)
PART: dict[str, Draw] = {
    "data_dir": lambda draw: draw.choice(["", text(draw)]),
    "output_dir": text,
    "from_metadata": maybe(text),
    "score_name": maybe(text),
    "num_workers": maybe(whole(1, 99)),
    "count": whole(5, 1 << 20),
    "index": whole(0, 4),
    "overwrite": one_of(True, False),
}
SCORE = PART | {
    "method": one_of(*ScoreSpec.FAMILY),
    "model": maybe(text),
    "pretrained": maybe(text),
    "arch": one_of("l14", "b32"),
    **dict.fromkeys(("image_size", "context_length"), maybe(whole(1, 1 << 20))),
    "batch_size": whole(1, 1 << 40),
    "save_embeddings": one_of(True, False),
    "torch_compile": one_of(True, False),
    "decode": one_of("bicubic", "fast"),
    "precision": one_of("auto", "fp32", "bf16"),
    "detector": maybe(text),
    "max_masked_area": lambda draw: 1 - share(draw),
    "boxes": maybe(text),
    "plain": maybe(text),
}
CAPTIONS = PART | {
    "method": one_of(*CaptionSpec.FAMILY),
    "language_model": maybe(text),
    "no_language": one_of(True, False),
    "min_words": SEED,
    "min_chars": SEED,
    "min_side": SEED,
    "max_aspect": lambda draw: draw.choice([0.0, 1 + number(draw)]),
    "words": maybe(text),
    "wordnet": maybe(text),
    "synsets": maybe(text),
    "entries": maybe(text),
    "entry_limit": whole(1, 1 << 40),
    "seed": SEED,
    "arch": one_of("b32", "l14"),
}
EMBEDDINGS = PART | {
    "method": one_of(*EmbeddingSpec.FAMILY),
    "embeddings": maybe(text),
    "arch": one_of("b32", "l14", "l14"),
    "temperature": number,
    "batch_rows": whole(1, 1 << 40),
    "rounds": whole(1, 99),
    "target": maybe(text),
    "p": one_of("2", "inf"),
    "centroids": maybe(text),
    "clusters": maybe(whole(1, 1 << 40)),
    "sample": maybe(whole(1, 1 << 40)),
    "eps": share,
    "keep": one_of("hard", "easy", "score", "first"),
    "seed": SEED,
    "count": one_of(1, 2),
    "index": one_of(0, 1),
}
SUBSET: dict[str, Draw] = {
    "output_dir": text,
    "method": maybe(one_of("clip", "random", "a b")),
    "fraction": maybe(fraction),
    "top": maybe(whole(1, 1 << 60)),
    "threshold": maybe(lambda draw: draw.choice([-1.0, 1.0]) * share(draw)),
    "compat": one_of(None, None, "datacomp"),
    "score_names": lambda draw: tuple(draw.choices(["clip-l14", "-odd=0.5", "dfn=-2", "a b"], k=draw.randint(0, 3))),
    "mix": maybe(one_of("zscore", "rank")),
    "seed": SEED,
    "formats": lambda draw: tuple(draw.choices(["npy", "pkl", "trie", "txt"], k=draw.randint(1, 3))),
    "subset_name": maybe(text),
    "overwrite": one_of(True, False),
}
EVAL: dict[str, Draw] = {
    **{name: maybe(text) for name in ("train_dir", "pretrained", "model", "task_dir", "output_dir", "scale", "method")},
    "data_dir": text,
    "tasks": lambda draw: tuple(draw.choices(["imagenet*", "vtab/*", "-x", "a b"], k=draw.randint(0, 3))),
    "model_arch": maybe(text),
    **{name: maybe(fraction) for name in ("fraction", "width_mult", "min_width_mult")},
    "use_mup": one_of(None, True, False),
    **dict.fromkeys(("image_size", "context_length"), maybe(whole(1, 1 << 20))),
    "batch_size": whole(1, 1 << 40),
    "num_workers": whole(1, 99),
    "count": whole(5, 1 << 20),
    "index": whole(0, 4),
    "overwrite": one_of(True, False),
    "precision": one_of("fp32", "bf16"),
    "allow_partial_sets": one_of(True, False),
    "paper_compatible": one_of(True, False),
    "eval_every": lambda draw: draw.choice([0, draw.randint(1, 1 << 60)]),
}
PIPELINE: dict[str, Draw] = {
    **dict.fromkeys(("data_dir", "output_dir"), text),
    **{name: maybe(text) for name in ("eval_data_dir", "logs")},
    "method": one_of("clip", "a b"),
    "fraction": fraction,
    "scale": one_of(*SCALES),
}
LADDER: dict[str, Draw] = {
    **dict.fromkeys(("data_dir", "output_dir", "eval_data_dir"), text),
    "logs": maybe(text),
    "scale": one_of(*SCALES),
    "subset_files": lambda draw: tuple(draw.sample(["none", "s3://b/a b.npy", "-x", "it's"], k=draw.randint(1, 4))),
    "width_mults": lambda draw: tuple({fraction(draw) for _ in range(draw.randint(1, 3))}),
    "branch_at": lambda draw: tuple(draw.randint(1, 1 << 60) for _ in range(draw.randint(0, 3))),
    "seeds": lambda draw: tuple({draw.randint(0, 9) for _ in range(draw.randint(1, 3))}),
}
SAMPLER: dict[str, Draw] = {
    "draws": whole(1, 1 << 60),
    "penalty": maybe(lambda draw: draw.choice([0.0, number(draw)])),
    "max_repeats": maybe(whole(1, 99)),
    "batch": whole(1, 1 << 40),
    "temperature": number,
    "seed": SEED,
}
FORECAST: dict[str, Draw] = {
    "runs": lambda draw: tuple(text(draw) for _ in range(draw.randint(1, 3))),
    "target": maybe(one_of(*SCALES)),
    "target_samples": maybe(whole(1, 1 << 60)),
    "target_width": maybe(fraction),
    "target_pool": maybe(whole(1, 1 << 60)),
    "metric": text,
    "margin": share,
    "evidence": lambda draw: tuple(draw.choices(EVIDENCE, k=draw.randint(1, 3))),
    "seed": SEED,
}
REPORT: dict[str, Draw] = {
    "runs": FORECAST["runs"],
    "output": lambda draw: text(draw) + ".html",
    **dict.fromkeys(("baseline", "published"), maybe(text)),
    **{name: FORECAST[name] for name in ("target", "target_samples", "target_width", "metric", "seed")},
    "pictures": whole(0, 100),
}
BASELINE: dict[str, Draw] = {
    "name": one_of(*BASELINES, "clip_score", "clip_score"),
    **dict.fromkeys(("from_metadata", "output_dir"), text),
    **{name: maybe(text) for name in ("language_model", "words", "wordnet", "synsets", "target", "centroids")},
    "arch": maybe(one_of("b32", "l14")),
    "fraction": maybe(fraction),
    "threshold": maybe(share),
}


def made(kind: Any, values: dict[str, Any]) -> Any:
    if kind is not ScoreSpec:
        return kind(**values)
    own = {each.name for each in flat_fields(TextOptions)}
    groups = {"text": TextOptions(**{name: value for name, value in values.items() if name in own})}
    return ScoreSpec(**{name: value for name, value in values.items() if name not in own} | groups)


def drawn(kind: Any, rows: dict[str, Draw], draw: random.Random) -> Any:
    """A spec of random values, of which a method's own are drawn only where it reads them."""
    while True:
        values = {name: row(draw) for name, row in rows.items()}
        if issubclass(kind, ScorePart):
            read = names_read(kind, values["method"])
            values = {name: value for name, value in values.items() if name in read}
        try:
            return made(kind, values)
        except ConfigError:
            continue  # not every combination is a spec


def params(command: Any, words: list[str]) -> dict[str, Any]:
    with command.make_context(command.name, list(words)) as ctx:
        return dict(ctx.params)


def from_fields(kind: Any, rows: dict[str, Draw], command: Any) -> Callable[[list[str]], Any]:
    return lambda words: kind(**{name: value for name, value in params(command, words).items() if name in rows})


CASES: dict[Any, tuple[dict[str, Draw], Callable[[list[str]], Any]]] = {
    ScoreSpec: (SCORE, lambda words: score_spec(params(score, words))),
    CaptionSpec: (CAPTIONS, lambda words: score_spec(params(score, words))),
    EmbeddingSpec: (EMBEDDINGS, lambda words: score_spec(params(score, words))),
    SubsetSpec: (SUBSET, lambda words: subset_spec(params(subset, words))),
    EvalSpec: (EVAL, lambda words: eval_spec(params(evaluate, words))),
    LadderSpec: (
        LADDER | {name: FORECAST[name] for name in ("target", "target_samples", "target_width")},
        lambda words: ladder_of(params(submit_forecast, words)),
    ),
    PipelineSpec: (PIPELINE, from_fields(PipelineSpec, PIPELINE, submit_pipeline)),
    Sampler: (SAMPLER, lambda words: sampler_of(params(sample, [*words, "--output-dir=o", "--method=m"]))),
    ForecastSpec: (FORECAST, lambda words: forecast_spec(params(forecast_command, words))),
    ReportSpec: (REPORT, lambda words: report_spec(params(report_command, words))),
    BaselineSpec: (BASELINE, from_fields(BaselineSpec, BASELINE, baseline)),
}


@pytest.mark.parametrize("kind", CASES, ids=lambda kind: kind.__name__)
def test_a_spec_survives_its_own_command_line(kind: Any) -> None:
    rows, parse = CASES[kind]
    assert rows.keys() == {each.name for each in flat_fields(kind)}, "each field needs its row"
    draw, seen = random.Random(kind.__name__), set()
    for _ in range(ROUNDS):
        spec = drawn(kind, rows, draw)
        assert parse(spec.arguments()) == spec, spec.arguments()
        seen |= {each.name for each, value in flat_items(spec) if value != each.default}
    # The methods of ScoreSpec see images, of which metadata has none.
    never = {"from_metadata"} if kind is ScoreSpec else set()
    assert seen == rows.keys() - never, "each field had a value that is not its default"


def test_a_sweep_survives_its_own_command_line() -> None:
    own = {*AXES.values(), *MORE_AXES.values(), "stop_above", "transfer"}
    assert FIELDS.keys() | own == {each.name for each in flat_fields(SweepSpec)}
    seen = set()
    for seed in range(ROUNDS // 3):
        draw = random.Random(seed)
        axes: dict[str, Any] = {
            "lrs": tuple({number(draw) for _ in range(draw.randint(0, 3))}),
            "weight_decays": tuple({share(draw) for _ in range(draw.randint(0, 3))}),
            "warmups": tuple({draw.randint(0, 1 << 60) for _ in range(draw.randint(0, 3))}),
            "batch_sizes": tuple({draw.randint(1, 1 << 20) for _ in range(draw.randint(0, 2))}),
            "init_temperatures": tuple(draw.sample([0.0, 0.01, 0.1 + 0.2, 1.0], k=draw.randint(0, 2))),
            "seeds": tuple({draw.randint(0, 1 << 60) for _ in range(draw.randint(0, 2))}),
        }
        base = random_spec(seed)
        rest: dict[str, Any] = {"stop_above": share(draw)} | ({"transfer": fraction(draw)} if base.use_mup else {})
        try:
            spec = SweepSpec(base=base, **axes, **rest)
        except ConfigError:
            continue  # folders tell points apart by six digits; or a learning rate times 4 is infinite
        assert sweep_spec(params(sweep, spec.arguments())) == spec
        # What a sweep starts from has no value of its own on an axis.
        last = replace(spec.points[-1], tag=base.tag)
        assert spec == SweepSpec(base=last, **{name: getattr(spec, name) for name in own})
        seen |= {name for name in own if getattr(spec, name)}
    assert seen == own


def test_a_training_run_says_only_what_is_not_so_anyway() -> None:
    spec = TrainSpec(**{**random_spec(1).record(), "scale": "small"})  # type: ignore[arg-type]
    assert "--scale" in spec.arguments()
    small = TrainSpec(
        data_dir="p", output_dir="o", scale="small", train_num_samples=12_800_000, batch_size=4096, lr=5e-4,
        warmup_steps=500, use_mup=True, width_mult=Fraction(3, 16), min_width_mult=Fraction(3, 16),
    )  # fmt: skip
    words = "--data-dir p --output-dir o --scale small --method none --fraction 1.0 --width-mult 0.1875 --use-mup"
    assert small.arguments() == words.split()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, []),
        (True, ["--x"]),
        (False, ["--x=false"]),
        ("", ["--x="]),
        ("-1", ["--x=-1"]),
        (-1, ["--x=-1"]),
        ("a b", ["--x", "a b"]),
        (Fraction(3, 16), ["--x", "0.1875"]),
        (Fraction(1, 3), ["--x", "1/3"]),
        ((1e-3, 0.25), ["--x", "0.001,0.25"]),
        (["a", "-b"], ["--x", "a,-b"]),
    ],
)
def test_words(value: Any, words: list[str]) -> None:
    assert words_of("--x", value) == words


def test_repeated_flags() -> None:
    assert words_of("--x", ("a", "-b"), repeated=True) == ["--x", "a", "--x=-b"]
