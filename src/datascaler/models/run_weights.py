"""The checkpoints of our own runs: found, read without running anything, and turned back into a model."""

import io
from pickle import UnpicklingError
from typing import Any

import torch

from datascaler import storage
from datascaler.errors import ConfigError, first_line
from datascaler.models.build import BuiltClip, build_clip
from datascaler.spec.train import TrainSpec


def newest_checkpoint(run_url: str) -> str | None:
    """The checkpoint that the run's pointer names, or None before the first one."""
    pointer = storage.join(run_url, "checkpoints", "latest.json")
    if not storage.exists(pointer):
        return None
    return storage.join(run_url, "checkpoints", storage.read_json(pointer)["file"])


def read_checkpoint(url: str) -> dict[str, Any]:
    """A .pt file's content on the CPU. Only tensors and plain values are read; a pickle that wants more is refused."""
    try:
        content = torch.load(io.BytesIO(storage.read_bytes(url)), map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, ValueError, KeyError) as error:
        raise ConfigError(f"{url} is not a readable checkpoint ({first_line(error)})") from error
    except UnpicklingError as error:
        raise ConfigError(f"{url} was refused: it holds more than weights ({first_line(error)})") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{url} is not a checkpoint: it holds {type(content).__name__}")
    return content


def is_run_checkpoint(content: dict[str, Any]) -> bool:
    return "spec" in content and "state_dict" in content


def fresh_model(spec: TrainSpec) -> BuiltClip:
    """The model that a run starts from."""
    return build_clip(
        spec.model_arch,
        width_mult=spec.width_mult,
        min_width_mult=spec.min_width_mult,
        use_mup=spec.use_mup,
        seed=spec.seed,
    )


def model_of_run(content: dict[str, Any]) -> BuiltClip:
    """The model of a checkpoint, with its weights, at its own width and parametrisation."""
    clip = fresh_model(TrainSpec.from_record(content["spec"]))
    clip.model.load_state_dict(content["state_dict"])
    return clip
