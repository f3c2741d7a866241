"""`info.pkl`, by which DataComp's own evaluate opens a run: its name of an architecture, and its checkpoint.

evaluate.py gives both to open_clip: the architecture as a model's name, the checkpoint as a local path. Where there is
no such file any more, as in a folder that was moved, it takes `checkpoints/epoch_latest.pt` beside `info.pkl`.
"""

import io
import pickle
from pathlib import Path
from typing import Any, NamedTuple

from datascaler import storage
from datascaler.data.subset.safe_pickle import load_data_pickle
from datascaler.errors import ConfigError
from datascaler.spec.train import TrainSpec

INFO = "info.pkl"
FALLBACK = "checkpoints/epoch_latest.pt"
_CONFIG = "open_clip_config.json"
_MOST_BYTES = 1 << 20


class DatacompRun(NamedTuple):
    """What `load_clip` is to be given for a run folder of DataComp's."""

    model: str
    pretrained: str | None


def publish_datacomp_info(folder: str, spec: TrainSpec, *, model: str, checkpoint: str) -> str:
    """Write `info.pkl` of a run and return its URL; `model` is what open_clip is asked for."""
    scale_config: dict[str, Any] = {
        "batch_size": spec.batch_size,
        "learning_rate": spec.lr,
        "train_num_samples": spec.train_num_samples,
        "warmup": spec.warmup_steps,
        "model": model,
        "beta2": spec.beta2,
    }
    info = {
        "scale": spec.scale,
        "checkpoint": Path(checkpoint),
        "scale_config": scale_config,
        "data_dir": Path(spec.data_dir),
    }
    url = storage.join(folder, INFO)
    storage.publish_bytes(url, pickle.dumps(info))
    return url


def read_datacomp_run(folder: str) -> DatacompRun | None:
    """The model of a folder that DataComp's train.py, or our export, has written; None for any other folder.

    Raises ConfigError for an `info.pkl` that can't be used, and where its checkpoint is nowhere.
    """
    url = storage.join(folder, INFO)
    if not storage.exists(url) or storage.exists(storage.join(folder, "run.json")):
        return None
    if storage.exists(storage.join(folder, _CONFIG)):
        # An export, which may have been moved: the folder itself is the model.
        return DatacompRun(f"local-dir:{folder}", None)
    model, checkpoint = _named(url)
    if model.startswith(("local-dir:", "hf-hub:")):
        return DatacompRun(model, None)
    beside = storage.join(folder, FALLBACK)
    if "/" not in checkpoint and not checkpoint.endswith(".pt"):
        return DatacompRun(model, checkpoint)  # a tag of open_clip's, as --use_model takes it
    found = next((place for place in (checkpoint, beside) if storage.exists(place)), None)
    if found is None:
        raise ConfigError(f"{url} names the checkpoint {checkpoint}, and neither that nor {beside} is there")
    return DatacompRun(model, found)


def _named(url: str) -> tuple[str, str]:
    if storage.stat(url).size > _MOST_BYTES:
        raise ConfigError(f"{url} is no {INFO} of a training run: it has more than {_MOST_BYTES:,} bytes")
    try:
        info = load_data_pickle(io.BytesIO(storage.read_bytes(url)))
    except ConfigError as error:
        raise ConfigError(f"{url}: {error}; give --model, and the checkpoint as --pretrained") from error
    config = info.get("scale_config") if isinstance(info, dict) else None
    model = config.get("model") if isinstance(config, dict) else None
    checkpoint = info.get("checkpoint") if isinstance(info, dict) else None
    if not isinstance(model, str) or not isinstance(checkpoint, str):
        raise ConfigError(f"{url} names no architecture (scale_config, model) with a checkpoint")
    return model, checkpoint
