"""A training run: one CLIP, one subset of one pool, one point of the hyper-parameter grid."""

import re
from collections.abc import Collection
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from math import inf
from typing import Literal, SupportsIndex, get_args

from datascaler.errors import ConfigError
from datascaler.spec.field import about, arguments_of, names_where
from datascaler.spec.numbers import format_fraction, parse_count, parse_fraction
from datascaler.spec.paths import check_places
from datascaler.spec.scales import DEMO, scale_named

Decoder = Literal["bicubic", "fast"]
StorageClient = Literal["fsspec", "obstore"]
Precision = Literal["auto", "fp32", "bf16"]
LossName = Literal["clip", "siglip"]
ScheduleName = Literal["cosine", "wsd"]
TRACKERS = ("tensorboard", "wandb", "mlflow")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainSpec:
    """A training run: the pool and its subset, the model and its width, and the recipe.

    Raises ConfigError for values out of their range and for those that contradict one another.

    Example:
        >>> spec = datacomp_recipe("small", data_dir="s3://bucket/pool", output_dir="s3://bucket/runs", lr=1e-3)
        >>> spec.steps, spec.folder
        (3125, 'small/none-f1.0/ViT-B-32-w1.0-b1.0-sp/lr0.001-wd0.2-wu500-n12800000-s0')
    """

    data_dir: str = field(metadata=about(place="url"))
    output_dir: str = field(metadata=about(place="url", written=True))
    scale: str
    method: str = "none"
    """How the subset was chosen; names the run's folder and is checked against the subset's recipe."""
    fraction: Fraction | None = None
    """The part of the pool that the subset keeps; None is 1 for the whole pool, and unknown for a subset."""
    subset_file: str | None = field(default=None, metadata=about(place="url"))
    """None trains on the whole pool."""
    plan_file: str | None = field(default=None, metadata=about(place="url", flag="plan"))
    no_plan: bool = False
    """Stream the whole pool instead, on one node: the same samples in an epoch, in another order."""
    model_arch: str = "ViT-B-32"
    width_mult: Fraction = Fraction(1)
    min_width_mult: Fraction = Fraction(1)
    """The base width: where muP and the standard parametrisation are the same model and the same optimizer."""
    use_mup: bool = False
    init_from: str | None = field(default=None, metadata=about(place="model"))
    """Weights to start from: a tag of the architecture, a weights file or a run. None draws them."""
    extend: str | None = field(default=None, metadata=about(place="url"))
    """A complete run to start from where it ended, with its moments and its place in the data."""
    train_num_samples: int
    """Samples seen, over all passes."""
    schedule: ScheduleName = "cosine"
    """cosine falls from the warm-up on, to the run's own end; wsd is constant until its cool-down."""
    cooldown: float = 0.2
    """The share of the samples that wsd's cool-down takes, at the end."""
    branch_at: tuple[int, ...] = field(default=(), metadata=about(runtime=True))
    """Budgets of samples, each a run of its own, which goes on from where the one before it cooled down."""
    batch_size: int = field(metadata=about(more_axis="batch_sizes"))
    """Global, over all processes."""
    lr: float = field(metadata=about(axis="lrs"))
    """The learning rate at the base width; muP derives each tensor's own from it."""
    weight_decay: float = field(default=0.2, metadata=about(axis="weight_decays"))
    hold_tau: bool = False
    """Take weight_decay as that of the scale's own samples and batch, and scale it so that tau is as there."""
    warmup_steps: int = field(metadata=about(flag="warmup", axis="warmups"))
    beta1: float = 0.9
    beta2: float = 0.98
    eps: float = 1e-6
    """AdamW's epsilon at the base width, as `lr` is; muP makes it smaller with the gradients of wider models."""
    loss: LossName = "clip"
    """clip is a softmax over the batch; siglip a sigmoid of each pair, with a bias, from its own initial scale."""
    init_temperature: float = field(default=0.0, metadata=about(more_axis="init_temperatures"))
    """What similarities are divided by at the start; 0 is the loss's own: 0.07 for clip, 0.1 for siglip."""
    grad_clip_norm: float = 0.0
    """The most that the norm of all gradients may be, else all are made smaller; 0 leaves them alone."""
    seed: int = field(default=0, metadata=about(more_axis="seeds"))
    tag: str = ""
    """Ends the name of the run's folder, to tell apart runs that differ in what the name does not say."""
    decode: Decoder = "bicubic"
    """bicubic is open_clip's resizing, pixel for pixel; fast is nearly that for much less work."""
    precision: Precision = "auto"
    """auto is bf16 autocast where the accelerator has it, else fp32. Weights are fp32 in any case."""
    grad_checkpointing: bool = field(default=False, metadata=about(runtime=True))
    """Compute activations twice in place of keeping them."""
    torch_compile: bool = field(default=False, metadata=about(runtime=True))
    device_batch_size: int = field(default=0, metadata=about(runtime=True))
    """Samples in one forward pass of one process; what is above it is accumulated. 0 means no limit."""
    num_workers: int = field(default=4, metadata=about(runtime=True))
    """Loader processes for each training process; 0 decodes in the training process."""
    num_checkpoints: int = field(default=5, metadata=about(runtime=True))
    """Checkpoints at even steps of the run, so many at least."""
    checkpoint_minutes: float = field(default=15.0, metadata=about(runtime=True))
    """The most that a killed run loses; 0 saves at even steps only."""
    keep_every: int = field(default=0, metadata=about(runtime=True))
    """Steps between checkpoints that are kept for good; 0 keeps the newest ones only."""
    keep_all: bool = field(default=False, metadata=about(runtime=True))
    """Keep every checkpoint that is saved."""
    log_every_steps: int = field(default=10, metadata=about(runtime=True))
    track: tuple[str, ...] = field(default=(), metadata=about(runtime=True))
    """Trackers that the run's figures are copied to, of tensorboard, wandb and mlflow."""
    loss_limits: tuple[str, ...] = field(default=(), metadata=about(runtime=True))
    """SAMPLES:LOSS, each: after so many samples the run is given up if its loss, over the last 5% of them, is above."""
    min_coverage: float = field(default=0.0, metadata=about(runtime=True))
    max_substituted: float = field(default=0.05, metadata=about(runtime=True))
    """Share of the draws that may be replaced because their sample can't be read or decoded; above it the run stops."""
    cache_dir: str | None = field(default=None, metadata=about(place="node", written=True, runtime=True))
    """A folder on each node for samples that were read, so that later passes need not fetch them."""
    cache_bytes: int = field(default=50 * 10**9, metadata=about(flag="cache-size", runtime=True))
    storage_client: StorageClient = field(default="fsspec", metadata=about(runtime=True))
    """What the loader processes read object stores with."""
    eval_every: int = field(default=0, metadata=about(runtime=True))
    """Evaluate a checkpoint whenever so many samples more were seen, in a process beside the job; 0 doesn't."""
    eval_data_dir: str | None = field(default=None, metadata=about(place="url", runtime=True))
    """Evaluation sets for that."""
    eval_tasks: tuple[str, ...] = field(default=(), metadata=about(runtime=True))
    """Keys or names, with *; none is all."""

    def __post_init__(self) -> None:
        self._normalise()
        check_places(self)
        for name in ("train_num_samples", "batch_size", "lr", "num_checkpoints", "log_every_steps", "cache_bytes"):
            if not 0 < getattr(self, name) < inf:
                raise ConfigError(f"{name} must be above 0, got {getattr(self, name)}")
        for name in (
            "weight_decay",
            "warmup_steps",
            "seed",
            "device_batch_size",
            "num_workers",
            "eps",
            "checkpoint_minutes",
            "eval_every",
            "grad_clip_norm",
            "keep_every",
            "init_temperature",
        ):
            if not 0 <= getattr(self, name) < inf:
                raise ConfigError(f"{name} must not be negative, got {getattr(self, name)}")
        if self.seed >= 1 << 64:
            raise ConfigError(f"seed must be from 0 to 2^64 - 1, got {self.seed}")
        if self.init_temperature and not 0.01 <= self.init_temperature <= 1:
            raise ConfigError(
                f"init_temperature must be from 0.01 to 1, in which CLIP keeps it, or 0 for the loss's own; got "
                f"{self.init_temperature:g}"
            )
        if unknown := set(self.track) - set(TRACKERS):
            raise ConfigError(f"track must be of {', '.join(TRACKERS)}; got {min(unknown)!r}")
        if not re.fullmatch(r"[\w.-]*", self.tag, re.ASCII):
            raise ConfigError(
                f"tag must be of letters, digits and . _ -, for it is part of a folder's name; got {self.tag!r}"
            )
        if not 0 < self.cooldown < 1:
            raise ConfigError(f"cooldown must be above 0 and below 1, got {self.cooldown:g}")
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 0 and below 1, got {getattr(self, name)}")
        for name in ("min_coverage", "max_substituted"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must be at least 0 and at most 1, got {getattr(self, name)}")
        for name in ("width_mult", "min_width_mult"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be above 0, got {getattr(self, name)}")
        if self.fraction is not None and not 0 < self.fraction <= 1:
            raise ConfigError(f"fraction must be above 0 and at most 1, got {float(self.fraction):g}")
        if self.fraction is not None and self.fraction < 1 and self.subset_file is None and self.plan_file is None:
            raise ConfigError(
                f"fraction {float(self.fraction):g} needs the subset to train on: give --subset-file "
                "(`datascaler subset` writes one), or --fraction 1.0 for the whole pool"
            )
        for name, known in (
            ("precision", get_args(Precision)),
            ("decode", get_args(Decoder)),
            ("storage_client", get_args(StorageClient)),
            ("loss", get_args(LossName)),
            ("schedule", get_args(ScheduleName)),
        ):
            if getattr(self, name) not in known:
                text = f"{', '.join(known[:-1])} or {known[-1]}"
                raise ConfigError(f"{name} must be {text}, got {getattr(self, name)!r}")
        if self.storage_client == "obstore" and self.num_workers == 0:
            raise ConfigError("storage_client obstore works in loader processes only: set num_workers to 1 or more")
        if (self.eval_every > 0) != (self.eval_data_dir is not None):
            raise ConfigError("eval_every and eval_data_dir go together: how often, and on which evaluation sets")
        if self.init_from and self.extend:
            raise ConfigError("init_from and extend both say what to start from: give one of them")
        if self.no_plan:
            self._refuse_what_needs_a_plan()
        if self.batch_size > self.train_num_samples:
            raise ConfigError(
                f"batch_size {self.batch_size} is more than train_num_samples {self.train_num_samples}: "
                "not one step would be taken"
            )
        if self.branch_at:
            self._check_budgets()
        if self.hold_tau and self.scale == DEMO:
            raise ConfigError("hold_tau needs a scale, whose samples and batch are what tau is held at")
        self.limits_by_step  # noqa: B018  refuses limits that are none

    def _normalise(self) -> None:
        """Give equal specs equal fields, whoever writes them: names in lower case, exact fractions, whole numbers."""
        for name in ("scale", "method"):
            object.__setattr__(self, name, getattr(self, name).lower())
        if self.scale != DEMO:
            scale_named(self.scale)
        if self.fraction is None and self.subset_file is None and self.plan_file is None:
            object.__setattr__(self, "fraction", Fraction(1))
        for each in fields(self):
            value = getattr(self, each.name)
            if each.type is Fraction or (each.name == "fraction" and value is not None):
                object.__setattr__(self, each.name, parse_fraction(value))
            elif each.type == tuple[str, ...]:
                object.__setattr__(self, each.name, tuple(value))
            elif each.type == tuple[int, ...]:
                object.__setattr__(self, each.name, tuple(_whole(each.name, item) for item in value))
            elif each.type is float:
                object.__setattr__(self, each.name, float(value))
            elif each.type is int:
                object.__setattr__(self, each.name, _whole(each.name, value))
        budgets = sorted({*self.branch_at, self.train_num_samples})
        object.__setattr__(self, "branch_at", tuple(budgets) if len(budgets) > 1 else ())

    def _refuse_what_needs_a_plan(self) -> None:
        for name in ("plan_file", "cache_dir", "min_coverage"):
            if getattr(self, name):
                raise ConfigError(f"{name} {getattr(self, name)} needs a plan: leave out no_plan, or {name}")

    def _check_budgets(self) -> None:
        if self.schedule != "wsd":
            raise ConfigError(f"branch_at needs schedule wsd: no part of a {self.schedule} is another budget's too")
        if max(self.branch_at) > self.train_num_samples:
            raise ConfigError(
                f"branch_at {max(self.branch_at)} is more than train_num_samples {self.train_num_samples}, the largest "
                "of the budgets"
            )
        if self.hold_tau:
            raise ConfigError(
                "branch_at and hold_tau exclude each other: one trunk has one weight decay for all budgets"
            )
        steps = [budget // self.batch_size for budget in self.branch_at]
        if not steps[0] or len(set(steps)) < len(steps):
            raise ConfigError(
                f"branch_at {', '.join(map(str, self.branch_at))}: each budget must have a step more than the one "
                f"before, of batch_size {self.batch_size}"
            )

    @property
    def steps(self) -> int:
        """Whole batches that fit into the samples to be seen."""
        return self.train_num_samples // self.batch_size

    @property
    def trunk_steps(self) -> int:
        """Steps before the cool-down, which are those of a longer run too; 0 where there is none."""
        return self.steps - max(1, round(self.steps * self.cooldown)) if self.schedule == "wsd" else 0

    @property
    def applied_weight_decay(self) -> float:
        """AdamW's, at the base width."""
        if not self.hold_tau:
            return self.weight_decay
        own = scale_named(self.scale)
        return self.weight_decay * (self.batch_size / own.batch_size) * (own.train_num_samples / self.train_num_samples)

    @property
    def tau(self) -> float | None:
        """The time over which AdamW forgets old gradients, as a part of the run: B / (lr x decay x D) at the peak rate.

        Weights are a moving average of updates with that time scale (arXiv 2405.13698); where samples or batch change,
        its best value changes little (arXiv 2405.13698, 2510.19093). None where nothing is forgotten. muP keeps it the
        same at all widths, by its rule for the decay of hidden matrices.
        """
        forgotten = self.lr * self.applied_weight_decay * self.train_num_samples
        return self.batch_size / forgotten if 0 < forgotten < inf else None

    @property
    def limits_by_step(self) -> dict[int, float]:
        """The step after which the loss is looked at -> the most that it may be there, by `loss_limits`."""
        limits = {}
        for text in self.loss_limits:
            samples, _, loss = text.partition(":")
            try:
                limits[max(1, parse_count(samples) // self.batch_size)] = float(loss)
            except (ConfigError, ValueError):
                raise ConfigError(f"loss_limits must be SAMPLES:LOSS,..., as in 1M:4.5; got {text!r}") from None
        return limits

    @property
    def budgets(self) -> list["TrainSpec"]:
        """The runs that it stands for, the shortest first: one for each budget of `branch_at`, else the run alone."""
        return [replace(self, train_num_samples=samples, branch_at=()) for samples in self.branch_at] or [self]

    @property
    def samples_computed(self) -> int:
        """The samples of all budgets together, what they share counted once."""
        budgets = self.budgets
        shared = sum(each.trunk_steps * each.batch_size for each in budgets[:-1])
        return sum(each.train_num_samples for each in budgets) - shared

    @property
    def subset_name(self) -> str:
        """Names the subset in the run's path: `clip-f0.3`, or only the method where the fraction is not known."""
        return self.method if self.fraction is None else f"{self.method}-f{format_fraction(self.fraction)}"

    @property
    def folder(self) -> str:
        """Where the run lives below output_dir; everything that a person varies is in the path."""
        kind = "mup" if self.use_mup else "sp"
        width, base = format_fraction(self.width_mult), format_fraction(self.min_width_mult)
        point = f"lr{self.lr:g}-wd{self.weight_decay:g}"
        loss = "" if self.loss == "clip" else f"-{self.loss}"
        schedule = f"-wsd{self.cooldown:g}" if self.schedule == "wsd" else ""
        own = "-tau" if self.hold_tau else ""
        own += f"-t{self.init_temperature:g}" if self.init_temperature else ""
        own += f"-{self.tag}" if self.tag else ""
        return "/".join(
            [
                self.scale,
                self.subset_name,
                f"{self.model_arch.replace('/', '_')}-w{width}-b{base}-{kind}",
                f"{point}-wu{self.warmup_steps}-n{self.train_num_samples}-s{self.seed}{loss}{schedule}{own}",
            ]
        )

    def record(self) -> dict[str, object]:
        """Plain values for run.json and checkpoints."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: str(value) if isinstance(value, Fraction) else value for name, value in values.items()}

    def arguments(self, *, leave_out: Collection[str] = ()) -> list[str]:
        """The arguments of `datascaler train` that describe this run; parsed, they are this spec again."""
        # Always said: where they are not, the subset's recipe is read for them.
        implied = {**_recipe(self.scale), "method": None, "fraction": None, "min_width_mult": self.width_mult}
        implied |= {name: getattr(self, name) for name in leave_out}
        return arguments_of(self, implied)

    @classmethod
    def from_record(cls, record: dict[str, object]) -> "TrainSpec":
        known = {each.name: each.type for each in fields(cls)}
        values = {name: value for name, value in record.items() if name in known}
        for name in ("fraction", "width_mult", "min_width_mult"):
            values[name] = None if values[name] is None else parse_fraction(str(values[name]))
        return cls(**values)  # type: ignore[arg-type]


RUNTIME_FIELDS = frozenset(names_where(TrainSpec, "runtime"))
"""How a run is carried out, not what it computes: a resumed run may change these."""


def datacomp_recipe(scale: str, **overrides: object) -> TrainSpec:
    """DataComp's recipe for a scale, with what the user gave (None = not given) in place of its values.

    Args:
        scale: small, medium, large or xlarge.
        overrides: fields of TrainSpec; `data_dir` and `output_dir` must be among them.

    Raises ConfigError for an unknown scale, and as TrainSpec does.

    Example:
        >>> spec = datacomp_recipe("medium", data_dir="pool", output_dir="runs", train_num_samples=1_000_000)
        >>> spec.batch_size, spec.lr, spec.train_num_samples
        (4096, 0.0005, 1000000)
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    recipe = _recipe(scale)
    if branch_at := given.get("branch_at"):
        recipe["train_num_samples"] = max(branch_at)  # type: ignore[call-overload]
    return TrainSpec(**{"scale": scale_named(scale).name, **recipe, **given})  # type: ignore[arg-type]


def _whole(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        raise ConfigError(f"{name} must be a whole number, got {value!r}")
    return int(value)


def _recipe(scale: str) -> dict[str, object]:
    """The fields that a scale sets."""
    if scale == DEMO:
        return {}
    row = scale_named(scale)
    return {
        "model_arch": row.arch,
        "train_num_samples": row.train_num_samples,
        "batch_size": row.batch_size,
        "lr": row.lr,
        "warmup_steps": row.warmup_steps,
        "beta2": row.beta2,
    }
