"""A run's model as an ordinary CLIP: a folder that stock open_clip loads, and DataComp's evaluate too.

open_clip_config.json          the config at the run's width, and what was exported; written last
open_clip_model.safetensors    the weights, for `local-dir:FOLDER`
NAME.json                      the config under a name, for `open_clip.add_model_config`; none where stock has the name
info.pkl                       for DataComp's evaluate.py, on local disks
checkpoints/epoch_latest.pt    the weights where it looks for them

muP changes one thing of the model that no weights tell, the scale of the attention logits. It is folded into the query
weights, so what is exported is as exact as float32 is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor
from torch.nn.functional import normalize

from datascaler import storage
from datascaler.data.runs.datacomp_info import FALLBACK, publish_datacomp_info
from datascaler.errors import ConfigError, DatascalerError
from datascaler.models.attention import fold_attention_scale
from datascaler.models.build import BuiltClip
from datascaler.models.open_clip_parts import CLIP, OPENAI_DATASET_MEAN, OPENAI_DATASET_STD, factory
from datascaler.models.run_weights import is_run_checkpoint, model_of_run, read_checkpoint, sound_checkpoints
from datascaler.spec.numbers import format_fraction
from datascaler.spec.train import TrainSpec
from datascaler.train.step import finite_weights

_CONFIG = "open_clip_config.json"
_WEIGHTS = "open_clip_model.safetensors"
_PREPROCESS = {
    "mean": OPENAI_DATASET_MEAN,
    "std": OPENAI_DATASET_STD,
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}
"""What runs are trained with."""
_TOLERANCE = 1e-5
_TRIED = 4
"""Images and texts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportedRun:
    """What was exported, and where."""

    model: str
    """Loads it: `local-dir:FOLDER`."""
    name: str
    """Loads it too, with the weights file: open_clip's own name, or that of the config in the folder."""
    checkpoint: str
    samples_seen: int
    largest_difference: float
    """Between coordinates of unit features of stock open_clip and of the run, on a few drawn images and texts."""
    info_pkl: str | None
    """None where DataComp's evaluate.py can't read the folder."""


def export_run(run: str, output_dir: str | None = None, say: Callable[[str], None] = lambda _: None) -> ExportedRun:
    """Write a run's newest sound checkpoint, or the checkpoint that is given, as stock open_clip reads it.

    Args:
        run: URL of a run or of one of its checkpoints, of any width and parametrisation.
        output_dir: by default the folder `export` of the run, or of the checkpoint.
        say: gets lines for people.

    Raises ConfigError for what is no run with a checkpoint, for weights that are not finite, and where `output_dir`
    holds another model.
    """
    url, content = _checkpoint_of(run, say)
    spec = TrainSpec.from_record(content["spec"])
    seen, wanted = int(content["samples_seen"]), spec.steps * spec.batch_size
    if seen < wanted:
        say(f"the run is not complete: this is the model after {seen:,} of {wanted:,} samples")
    clip = model_of_run(content)
    if not finite_weights(clip.model):
        raise ConfigError(f"{url} has weights that are not finite: export an earlier checkpoint")
    weights = fold_attention_scale(clip.model.state_dict(), clip.ratio)
    difference = _largest_difference(clip, weights)
    if difference > _TOLERANCE:
        raise DatascalerError(f"stock open_clip would give features that differ by {difference:.1e} from the run's")

    folder = output_dir or storage.join(run.rpartition("/")[0] if run.endswith(".pt") else run, "export")
    origin = {"run": storage.parent(storage.parent(url)), "checkpoint": storage.basename(url), "samples_seen": seen}
    _require_own(folder, origin)
    name = _name_of(spec)
    storage.publish_bytes(storage.join(folder, _WEIGHTS), safetensors.torch.save(weights, {"format": "pt"}))
    if not _is_stock(name):
        storage.publish_json(storage.join(folder, f"{name}.json"), clip.config)
    info = _publish_for_datacomp(folder, spec, name, weights) if storage.is_local(folder) else None
    storage.publish_json(
        storage.join(folder, _CONFIG), {"model_cfg": clip.config, "preprocess_cfg": _PREPROCESS, "datascaler": origin}
    )
    return ExportedRun(
        model=f"local-dir:{folder}",
        name=name,
        checkpoint=url,
        samples_seen=seen,
        largest_difference=difference,
        info_pkl=info,
    )


def _checkpoint_of(run: str, say: Callable[[str], None]) -> tuple[str, dict[str, Any]]:
    """URL and content of what is to be exported."""
    if run.endswith(".pt"):
        content = read_checkpoint(run)
        if not is_run_checkpoint(content):
            raise ConfigError(f"{run} is no checkpoint of a run of `datascaler train`")
        return run, content
    found = sound_checkpoints(run, say)
    if found is None:
        raise ConfigError(f"{run} is no run with a checkpoint")
    saved, content = found
    return storage.join(run, "checkpoints", saved[0].file), content


def _require_own(folder: str, origin: dict[str, Any]) -> None:
    """Refuse a folder that holds another model; a later checkpoint of the same run replaces an earlier one."""
    url = storage.join(folder, _CONFIG)
    if not storage.exists(url):
        return
    before = storage.read_json(url).get("datascaler") or {}
    if before.get("run") != origin["run"]:
        raise ConfigError(f"{folder} holds another model: that of {before.get('run', 'another program')}")


def _largest_difference(clip: BuiltClip, weights: dict[str, Tensor]) -> float:
    """Between unit features of the run's model and of open_clip's own class with these weights."""
    stock = CLIP(**clip.config)
    stock.load_state_dict(weights)
    draw = torch.Generator().manual_seed(0)
    images = torch.randn(_TRIED, 3, *stock.visual.image_size, generator=draw)
    tokens = torch.randint(stock.vocab_size, (_TRIED, stock.context_length), generator=draw)
    tokens[:, -1] = stock.vocab_size - 1  # the end token, whose place is read
    models: tuple[Any, ...] = (stock.eval(), clip.model.eval())
    with torch.inference_mode():
        theirs, ours = (
            torch.cat([normalize(model.encode_image(images), dim=-1), normalize(model.encode_text(tokens), dim=-1)])
            for model in models
        )
    return float((theirs - ours).abs().max())


def _name_of(spec: TrainSpec) -> str:
    """ViT-B-32 at full width, else ViT-B-32-w0.1875."""
    width = "" if spec.width_mult == 1 else f"-w{format_fraction(spec.width_mult)}"
    return spec.model_arch + width


def _is_stock(name: str) -> bool:
    """Whether open_clip itself has a config of that name; its list holds those that programs have added too."""
    return (Path(factory.__file__).parent / "model_configs" / f"{name}.json").exists()


def _publish_for_datacomp(folder: str, spec: TrainSpec, name: str, weights: dict[str, Tensor]) -> str:
    """URL of the info.pkl. It names what exists in a program that has added no config: stock's name, or the folder."""
    place = str(Path(folder.removeprefix("file://")).expanduser().resolve())
    checkpoint = storage.join(place, FALLBACK)
    with storage.publish(checkpoint) as file:
        torch.save({"epoch": 1, "name": name, "state_dict": weights}, file)
    return publish_datacomp_info(
        folder, spec, model=name if _is_stock(name) else f"local-dir:{place}", checkpoint=checkpoint
    )
