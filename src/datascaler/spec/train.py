"""A training run: one CLIP, one subset of one pool, one point of the hyper-parameter grid."""

from dataclasses import dataclass, fields
from fractions import Fraction
from math import inf
from typing import Literal, get_args

from datascaler.errors import ConfigError
from datascaler.spec.numbers import format_fraction, parse_fraction
from datascaler.spec.scales import DEMO, scale_named

Decoder = Literal["bicubic", "fast"]
StorageClient = Literal["fsspec", "obstore"]

RUNTIME_FIELDS = frozenset(
    {
        *("device_batch_size", "num_workers", "log_every_steps", "num_checkpoints", "checkpoint_minutes"),
        *("min_coverage", "max_substituted", "cache_dir", "cache_bytes", "storage_client"),
    }
)
"""How a run is carried out, not what it computes: a resumed run may change these."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainSpec:
    data_dir: str
    output_dir: str
    scale: str
    method: str = "none"
    """How the subset was chosen; names the run's folder and is checked against the subset's recipe."""
    fraction: Fraction = Fraction(1)
    subset_file: str | None = None
    """None trains on the whole pool."""
    plan_file: str | None = None
    no_plan: bool = False
    """Stream the whole pool instead, on one node: the same samples in an epoch, in another order."""
    model_arch: str = "ViT-B-32"
    width_mult: Fraction = Fraction(1)
    min_width_mult: Fraction = Fraction(1)
    """The base width: where muP and the standard parametrisation are the same model and the same optimizer."""
    use_mup: bool = False
    train_num_samples: int
    """Samples seen, over all passes."""
    batch_size: int
    """Global, over all processes."""
    lr: float
    """At the base width; muP derives each tensor's own from it."""
    weight_decay: float = 0.2
    warmup_steps: int
    beta1: float = 0.9
    beta2: float = 0.98
    eps: float = 1e-6
    """At the base width, as `lr` is; muP makes it smaller with the gradients of wider models."""
    seed: int = 0
    decode: Decoder = "bicubic"
    """bicubic is open_clip's resizing, pixel for pixel; fast is nearly that for much less work."""
    precision: str = "auto"
    """auto is bf16 autocast where the accelerator has it, else fp32."""
    device_batch_size: int = 0
    """Samples in one forward pass of one process; what is above it is accumulated. 0 means no limit."""
    num_workers: int = 4
    """Loader processes for each training process; 0 decodes in the training process."""
    num_checkpoints: int = 5
    """At even steps of the run, and so many at least."""
    checkpoint_minutes: float = 15.0
    """The most that a killed run loses; 0 saves at even steps only."""
    log_every_steps: int = 10
    min_coverage: float = 0.0
    max_substituted: float = 0.05
    """Share of the draws that may be replaced because their sample can't be read or decoded; above it the run stops."""
    cache_dir: str | None = None
    """A folder on each node for samples that were read, so that later passes need not fetch them."""
    cache_bytes: int = 50 * 10**9
    storage_client: StorageClient = "fsspec"
    """What the loader processes read object stores with."""

    def __post_init__(self) -> None:
        self._normalise()
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
        ):
            if not 0 <= getattr(self, name) < inf:
                raise ConfigError(f"{name} must not be negative, got {getattr(self, name)}")
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 0 and below 1, got {getattr(self, name)}")
        for name in ("min_coverage", "max_substituted"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must be at least 0 and at most 1, got {getattr(self, name)}")
        for name in ("width_mult", "min_width_mult"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be above 0, got {getattr(self, name)}")
        if not 0 < self.fraction <= 1:
            raise ConfigError(f"fraction must be above 0 and at most 1, got {float(self.fraction):g}")
        if self.fraction < 1 and self.subset_file is None and self.plan_file is None:
            raise ConfigError(
                f"fraction {float(self.fraction):g} needs the subset to train on: give --subset-file "
                "(`datascaler subset` writes one), or --fraction 1.0 for the whole pool"
            )
        for name, known in (
            ("precision", ("auto", "fp32", "bf16")),
            ("decode", get_args(Decoder)),
            ("storage_client", get_args(StorageClient)),
        ):
            if getattr(self, name) not in known:
                text = f"{', '.join(known[:-1])} or {known[-1]}"
                raise ConfigError(f"{name} must be {text}, got {getattr(self, name)!r}")
        if self.storage_client == "obstore" and self.num_workers == 0:
            raise ConfigError("storage_client obstore works in loader processes only: set num_workers to 1 or more")
        if self.no_plan:
            self._refuse_what_needs_a_plan()
        if self.batch_size > self.train_num_samples:
            raise ConfigError(
                f"batch_size {self.batch_size} is more than train_num_samples {self.train_num_samples}: "
                "not one step would be taken"
            )

    def _normalise(self) -> None:
        """Give equal specs equal fields, whoever writes them: names in lower case, exact fractions, whole numbers."""
        for name in ("scale", "method"):
            object.__setattr__(self, name, getattr(self, name).lower())
        if self.scale != DEMO:
            scale_named(self.scale)
        for each in fields(self):
            value = getattr(self, each.name)
            if each.type is Fraction:
                object.__setattr__(self, each.name, parse_fraction(value))
            elif each.type is float:
                object.__setattr__(self, each.name, float(value))
            elif each.type is int:
                if isinstance(value, bool) or not hasattr(value, "__index__"):
                    raise ConfigError(f"{each.name} must be a whole number, got {value!r}")
                object.__setattr__(self, each.name, int(value))

    def _refuse_what_needs_a_plan(self) -> None:
        for name in ("plan_file", "cache_dir", "min_coverage"):
            if getattr(self, name):
                raise ConfigError(f"{name} {getattr(self, name)} needs a plan: leave out no_plan, or {name}")

    @property
    def steps(self) -> int:
        """Whole batches that fit into the samples to be seen."""
        return self.train_num_samples // self.batch_size

    @property
    def folder(self) -> str:
        """Where the run lives below output_dir; everything that a person varies is in the path."""
        kind = "mup" if self.use_mup else "sp"
        width, base = format_fraction(self.width_mult), format_fraction(self.min_width_mult)
        point = f"lr{self.lr:g}-wd{self.weight_decay:g}"
        return "/".join(
            [
                self.scale,
                f"{self.method}-f{format_fraction(self.fraction)}",
                f"{self.model_arch.replace('/', '_')}-w{width}-b{base}-{kind}",
                f"{point}-wu{self.warmup_steps}-n{self.train_num_samples}-s{self.seed}",
            ]
        )

    def record(self) -> dict[str, object]:
        """Plain values for run.json and checkpoints."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: str(value) if isinstance(value, Fraction) else value for name, value in values.items()}

    def arguments(self) -> list[str]:
        """The arguments of `datascaler train` that describe this run; parsed, they are this spec again."""
        flags = {
            "plan_file": "plan",
            "warmup_steps": "warmup",
            "cache_bytes": "cache-size",
        }
        arguments = []
        for name, value in self.record().items():
            if value is None:
                continue
            flag = flags.get(name, name).replace("_", "-")
            text = str(value).lower() if isinstance(value, bool) else str(value)
            arguments.append(f"--{flag}={text}")
        return arguments

    @classmethod
    def from_record(cls, record: dict[str, object]) -> "TrainSpec":
        known = {each.name: each.type for each in fields(cls)}
        values = {name: value for name, value in record.items() if name in known}
        for name in ("fraction", "width_mult", "min_width_mult"):
            values[name] = parse_fraction(str(values[name]))
        return cls(**values)  # type: ignore[arg-type]


def datacomp_recipe(scale: str, **overrides: object) -> TrainSpec:
    """DataComp's recipe for a scale, with what the user gave (None = not given) in place of its values."""
    row = scale_named(scale)
    recipe: dict[str, object] = {
        "scale": row.name,
        "model_arch": row.arch,
        "train_num_samples": row.train_num_samples,
        "batch_size": row.batch_size,
        "lr": row.lr,
        "warmup_steps": row.warmup_steps,
        "beta2": row.beta2,
    }
    given = {name: value for name, value in overrides.items() if value is not None}
    return TrainSpec(**{**recipe, **given})  # type: ignore[arg-type]
