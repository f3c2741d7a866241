"""A real open_clip CLIP, small enough to embed a hundred images in a blink, wrapped as the workers get it."""

import hashlib
from functools import cache

import open_clip
import torch
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from open_clip.tokenizer import SimpleTokenizer

from datascaler.models.loaded import LoadedClip

IMAGE_SIZE = 32
CONTEXT_LENGTH = 16
WIDTH = 32


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
            embed_dim=WIDTH,
            vision_cfg=CLIPVisionCfg(layers=1, width=WIDTH, head_width=16, patch_size=16, image_size=IMAGE_SIZE),
            text_cfg=CLIPTextCfg(context_length=CONTEXT_LENGTH, vocab_size=49408, width=WIDTH, heads=2, layers=1),
        )
    return model.eval()


@cache
def _tokenizer() -> SimpleTokenizer:
    return SimpleTokenizer(context_length=CONTEXT_LENGTH)


def _hash_weights(model: torch.nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()
