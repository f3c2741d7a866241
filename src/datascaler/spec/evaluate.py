"""An evaluation: which models, on which tasks, and which part of the work is this worker's."""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

from datascaler.errors import ConfigError
from datascaler.spec.field import about, arguments_of
from datascaler.spec.paths import check_places

_FILTERS = ("scale", "method", "fraction", "model_arch", "width_mult", "min_width_mult", "use_mup")


@dataclass(frozen=True, kw_only=True, slots=True)
class EvalSpec:
    """Every run below `train_dir` that fits the filters, or the one model that `model` and `pretrained` name.

    Raises ConfigError where neither or both are named, and for values out of their range.

    Example:
        >>> spec = EvalSpec(data_dir="evalsets", train_dir="runs", scale="small", tasks=("imagenet*", "vtab/*"))
        >>> spec.output_dir is None, spec.batch_size
        (True, 64)
    """

    data_dir: str = field(metadata=about(place="url"))
    """Folder of the evaluation sets."""
    train_dir: str | None = field(default=None, metadata=about(place="url"))
    pretrained: str | None = field(default=None, metadata=about(place="model"))
    """An open_clip tag, a weights file or a run's URL."""
    model: str | None = field(default=None, metadata=about(place="model"))
    """An open_clip name, hf-hub:ORG/NAME or local-dir:FOLDER."""
    image_size: int | None = None
    """Side of the images that the model sees, in pixels; None is the architecture's own."""
    context_length: int | None = None
    """Tokens of a text that the model sees; None is the architecture's own."""
    task_dir: str | None = field(default=None, metadata=about(place="url"))
    """Folder with a tasklist.yml; None is DataComp's tasks."""
    tasks: tuple[str, ...] = ()
    """Keys or names, with *; none is all."""
    output_dir: str | None = field(default=None, metadata=about(place="url", written=True))
    """None is `eval` in each run's folder."""
    scale: str | None = None
    """This and the next six are values that a run must have; None is any."""
    method: str | None = None
    fraction: Fraction | None = None
    model_arch: str | None = None
    width_mult: Fraction | None = None
    min_width_mult: Fraction | None = None
    use_mup: bool | None = None
    batch_size: int = 64
    num_workers: int = 4
    """Decoding threads."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """What the towers compute in; fp32 is DataComp's."""
    paper_compatible: bool = False
    """FMoW's worst region as DataComp computes it: its 4 images of the region "Other" are a region too."""
    allow_partial_sets: bool = False
    """Evaluate sets that hold fewer samples than their task's list says."""
    index: int = 0
    count: int = 1
    """This worker does the tasks index, index + count, ..."""
    overwrite: bool = False
    """Replace results of other weights."""
    eval_every: int = 0
    """Follow the runs of `train_dir` that still train, and evaluate a checkpoint whenever so many samples more were
    seen; 0 takes the runs as they are."""

    def __post_init__(self) -> None:
        check_places(self)
        if (self.train_dir is None) == (self.pretrained is None and self.model is None):
            raise ConfigError("give either --train-dir, or --model and --pretrained")
        if self.train_dir is None and self.output_dir is None:
            raise ConfigError("evaluating a model that is not a run needs --output-dir")
        sizes = {
            name: getattr(self, name) for name in ("image_size", "context_length") if getattr(self, name) is not None
        }
        if sizes and self.train_dir is not None:
            name, value = next(iter(sizes.items()))
            raise ConfigError(f"{name} {value} is for --model and --pretrained: the runs of --train-dir know theirs")
        if self.eval_every < 0:
            raise ConfigError(f"eval_every must not be negative, got {self.eval_every}")
        if self.eval_every and self.train_dir is None:
            raise ConfigError(f"eval_every {self.eval_every} follows runs that train: give --train-dir")
        for name in ("batch_size", "num_workers", "count", *sizes):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 <= self.index < self.count:
            raise ConfigError(f"index must be in 0..{self.count - 1} (count is {self.count}), got {self.index}")

    @property
    def wanted(self) -> dict[str, object]:
        """The filters by name."""
        return {name: getattr(self, name) for name in _FILTERS}

    def arguments(self) -> list[str]:
        """The arguments of `datascaler eval` that describe this; parsed, they are this spec again."""
        return arguments_of(self, {})
