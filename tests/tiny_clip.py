"""A real open_clip CLIP, small enough to embed a hundred images in a blink, wrapped as the workers get it."""

import hashlib
from functools import cache
from typing import Any

import open_clip
import safetensors.torch
import torch
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from open_clip.tokenizer import SimpleTokenizer

from datascaler import storage
from datascaler.models.loaded import LoadedClip

IMAGE_SIZE = 32
CONTEXT_LENGTH = 16
WIDTH = 32
CONFIG: dict[str, Any] = {
    "embed_dim": WIDTH,
    "vision_cfg": {"layers": 1, "width": WIDTH, "head_width": 16, "patch_size": 16, "image_size": IMAGE_SIZE},
    "text_cfg": {"context_length": CONTEXT_LENGTH, "vocab_size": 49408, "width": WIDTH, "heads": 2, "layers": 1},
}
"""As in open_clip_config.json."""


@cache
def tiny_loaded_clip(seed: int = 0) -> LoadedClip:
    """The same object for the same seed, so not one to train; other seeds give another weights_hash."""
    model = tiny_clip_model(seed)
    return LoadedClip(
        model=model,
        preprocess=open_clip.image_transform(IMAGE_SIZE, is_train=False),
        tokenize=_tokenizer(),
        arch="tiny",
        device=torch.device("cpu"),
        weights_hash=_hash_weights(model),
        preprocess_hash=hashlib.sha256(f"{IMAGE_SIZE} {CONTEXT_LENGTH}".encode()).hexdigest(),
    )


def tiny_clip_model(seed: int = 0) -> torch.nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: torch.nn.Module = CLIP(
            embed_dim=CONFIG["embed_dim"],
            vision_cfg=CLIPVisionCfg(**CONFIG["vision_cfg"]),
            text_cfg=CLIPTextCfg(**CONFIG["text_cfg"]),
        )
    return model.eval()


def save_local_dir(folder: str, seed: int = 0) -> str:
    """Write the model's folder, as stock open_clip reads it, below any URL; returns the name that loads it."""
    storage.publish_json(f"{folder}/open_clip_config.json", {"model_cfg": CONFIG, "preprocess_cfg": {}})
    weights = safetensors.torch.save(tiny_clip_model(seed).state_dict())
    storage.publish_bytes(f"{folder}/open_clip_model.safetensors", weights)
    return f"local-dir:{folder}"


@cache
def _tokenizer() -> SimpleTokenizer:
    return SimpleTokenizer(context_length=CONTEXT_LENGTH)


def _hash_weights(model: torch.nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()
