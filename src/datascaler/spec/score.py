"""A scoring run: one method, one model, one pool."""

from dataclasses import dataclass

from datascaler.errors import ConfigError

METHODS = ("clip", "dfn")
_DEFAULT_MODELS = {
    # The two that DataComp ships scores of (arXiv 2304.14108), and Apple's public filter (arXiv 2309.17425).
    ("clip", "l14"): ("ViT-L-14", "openai"),
    ("clip", "b32"): ("ViT-B-32", "openai"),
    ("dfn", "l14"): ("hf-hub:apple/DFN-public", None),
    ("dfn", "b32"): ("hf-hub:apple/DFN-public", None),
}


def check_method(name: str) -> str:
    """The method's name in lower case."""
    if name.lower() not in METHODS:
        raise ConfigError(f"unknown method {name!r}; known: {', '.join(METHODS)}")
    return name.lower()


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreSpec:
    data_dir: str
    output_dir: str
    method: str
    model: str | None
    """An open_clip name; None lets `pretrained` say it."""
    pretrained: str | None
    score_name: str | None = None
    """Replaces the score-id `method-arch-<8 hex of the weights hash>`."""
    batch_size: int = 256
    num_workers: int = 4
    """Threads that decode and preprocess."""
    index: int = 0
    count: int = 1
    """This worker takes shards index, index + count, ... of the frozen list."""
    overwrite: bool = False

    def __post_init__(self) -> None:
        check_method(self.method)
        for name in ("batch_size", "num_workers", "count"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 <= self.index < self.count:
            raise ConfigError(f"index must be in 0..{self.count - 1} (count is {self.count}), got {self.index}")


def default_model(method: str, arch: str, model: str | None, pretrained: str | None) -> tuple[str | None, str | None]:
    """What the user gave, or the method's own model where nothing was given."""
    if model or pretrained:
        return model, pretrained
    if (check_method(method), arch.lower()) not in _DEFAULT_MODELS:
        raise ConfigError(f"unknown arch {arch!r}; known: l14, b32 (or give --model and --pretrained)")
    return _DEFAULT_MODELS[check_method(method), arch.lower()]
