"""A scoring run: one method over one pool, and the networks that methods use by default."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, get_args

from datascaler.errors import ConfigError
from datascaler.spec.field import about, arguments_of, facts_of
from datascaler.spec.paths import check_places
from datascaler.spec.train import Decoder, Precision

IMAGE_METHODS = ("clip", "dfn", "tmars", "boxes")
"""They look at every image; `boxes` only finds the text in it, for T-MARS with any model later."""
CAPTION_METHODS = ("basic", "english", "text_based", "metaclip")
EMBEDDING_METHODS = ("negcliploss", "normsim", "dedup", "image_based")
"""They need what `score --save-embeddings` left, or DataComp's npz files."""
METHODS = (*IMAGE_METHODS, *CAPTION_METHODS, *EMBEDDING_METHODS)
_BY_NETWORK = ("clip", "dfn", "tmars")
TEXT_METHODS = ("tmars", "boxes")
"""They read `TextOptions`."""
_DEFAULT_MODELS = {
    # The two that DataComp ships scores of (arXiv 2304.14108), and Apple's public filter (arXiv 2309.17425).
    "l14": ("ViT-L-14", "openai"),
    "b32": ("ViT-B-32", "openai"),
}
_DFN_MODEL = ("hf-hub:apple/DFN-public", None)


def check_method(name: str) -> str:
    """The method's name as tables spell it."""
    method = name.lower().replace("-", "_")
    if method not in METHODS:
        raise ConfigError(f"unknown method {name!r}; known: {', '.join(METHODS)}")
    return method


@dataclass(frozen=True, kw_only=True, slots=True)
class ScorePart:
    """What every way of scoring is told: the pool, where tables go, and which part of the work is this worker's."""

    FAMILY: ClassVar[tuple[str, ...]] = ()
    """The methods that this spec describes."""

    data_dir: str = field(default="", metadata=about(place="url"))
    output_dir: str = field(metadata=about(place="url", written=True))
    method: str
    """The method as tables spell it; given in any case."""
    from_metadata: str | None = field(default=None, metadata=about(place="url"))
    """Folder of DataComp's metadata files, in place of the tars in `data_dir`."""
    score_name: str | None = field(default=None, metadata=about(place="scores"))
    """Replaces the score-id."""
    num_workers: int | None = None
    """That read and decode; None leaves their number to the method."""
    index: int = 0
    count: int = 1
    """This worker takes shards index, index + count, ... of the frozen list."""
    overwrite: bool = False

    @property
    def shards_at_once(self) -> int:
        """Shards that a method which reads whole ones works on at a time."""
        return self.num_workers or 4

    def __post_init__(self) -> None:
        check_places(self)
        object.__setattr__(self, "method", check_method(self.method))
        if self.method not in self.FAMILY:
            raise ConfigError(
                f"{type(self).__name__} does not score by {self.method!r}, only by {', '.join(self.FAMILY)}; "
                f"{self.method} belongs to {_SPECS[self.method]}"
            )
        for name, value in (("num_workers", self.num_workers), ("count", self.count)):
            if value is not None and value < 1:
                raise ConfigError(f"{name} must be at least 1, got {value}")
        if not 0 <= self.index < self.count:
            raise ConfigError(f"index must be in 0..{self.count - 1} (count is {self.count}), got {self.index}")

        for each in fields(self):
            given: Any = getattr(self, each.name)
            if self.method not in (facts_of(each).methods or (self.method,)) and given != each.default:
                raise ConfigError(f"{each.name} {given} has no meaning for method {self.method}")

    def arguments(self) -> list[str]:
        """The arguments of `datascaler score` that describe this run; parsed, they are this spec again."""
        return arguments_of(self, self._implied())

    def _implied(self) -> Mapping[str, Any]:
        """What the command line would have, other than the defaults of the fields."""
        return {}


_SPECS = {
    **dict.fromkeys(IMAGE_METHODS, "ScoreSpec"),
    **dict.fromkeys(CAPTION_METHODS, "CaptionSpec"),
    **dict.fromkeys(EMBEDDING_METHODS, "EmbeddingSpec"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class TextOptions:
    """How `tmars` and `boxes` find text, and how it is masked."""

    detector: str | None = field(default=None, metadata=about(place="url"))
    """An .onnx file; None is the default network."""
    max_masked_area: float = 0.8
    """The share of an image, 0 to 1, that masks cover at most."""
    boxes: str | None = field(default=None, metadata=about(place="scores"))
    """Score-id of tables whose boxes are used, in place of a detector."""
    plain: str | None = field(default=None, metadata=about(place="scores"))
    """Score-id of tables with the same network's scores of the pictures as they are."""

    def __post_init__(self) -> None:
        if not 0 < self.max_masked_area <= 1:
            raise ConfigError(f"max_masked_area must be above 0 and at most 1, got {self.max_masked_area}")
        if self.boxes and self.detector:
            raise ConfigError(f"give boxes ({self.boxes}) or a detector ({self.detector}), not both")


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreSpec(ScorePart):
    """Scoring by a model that sees the images. Without `model` and `pretrained` it is the method's own.

    Raises ConfigError for a method of another family and for values that contradict one another.

    Example:
        >>> spec = ScoreSpec(data_dir="s3://bucket/pool", output_dir="s3://bucket/scored", method="CLIP", arch="b32")
        >>> spec.method, spec.model, spec.pretrained
        ('clip', 'ViT-B-32', 'openai')
    """

    FAMILY = IMAGE_METHODS

    model: str | None = field(default=None, metadata=about(place="model"))
    """An open_clip name; None lets `pretrained` say it."""
    pretrained: str | None = field(default=None, metadata=about(place="model"))
    arch: str = "l14"
    """Which of CLIP's default models: l14 or b32."""
    image_size: int | None = None
    """Side of the images that the model sees, in pixels; None is the architecture's own."""
    context_length: int | None = None
    """Tokens of a caption that the model sees; None is the architecture's own."""
    decode: Decoder = field(default="bicubic", metadata=about(methods=_BY_NETWORK))
    """How images are made small: by open_clip's own filter, or by torch's, nearly so and faster."""
    precision: Precision = field(default="auto", metadata=about(methods=_BY_NETWORK))
    """What the model computes in; auto is fp32 on a CPU. There bf16 is for the image tower alone."""
    batch_size: int = 256
    save_embeddings: bool = False
    """Keep the unit vectors, beside the tables."""
    torch_compile: bool = False
    text: TextOptions = field(default=TextOptions(), metadata=about(methods=TEXT_METHODS))

    def __post_init__(self) -> None:
        ScorePart.__post_init__(self)
        if not self.data_dir or self.from_metadata:
            raise ConfigError(f"method {self.method} looks at the pool's images: give data_dir, not from_metadata")
        for name in ("batch_size", "image_size", "context_length"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name, known in (("decode", get_args(Decoder)), ("precision", get_args(Precision))):
            if getattr(self, name) not in known:
                text = f"{', '.join(known[:-1])} or {known[-1]}"
                raise ConfigError(f"{name} must be {text}, got {getattr(self, name)!r}")
        model, pretrained = default_model(self.method, self.arch, self.model, self.pretrained)
        object.__setattr__(self, "model", model)
        object.__setattr__(self, "pretrained", pretrained)

    def _implied(self) -> Mapping[str, Any]:
        own = default_model(self.method, self.arch, None, None)
        is_own = (self.model, self.pretrained) == own
        return {"model": self.model, "pretrained": self.pretrained} if is_own else {}


def default_model(method: str, arch: str, model: str | None, pretrained: str | None) -> tuple[str | None, str | None]:
    """What the user gave, or the method's own model where nothing was given."""
    if model or pretrained:
        return model, pretrained
    if arch.lower() not in _DEFAULT_MODELS:
        raise ConfigError(f"unknown arch {arch!r}; known: l14, b32 (or give --model and --pretrained)")
    return _DFN_MODEL if check_method(method) == "dfn" else _DEFAULT_MODELS[arch.lower()]
