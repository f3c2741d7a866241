"""A CLIP that is ready to embed: what scoring and evaluation need to know of a model, wherever it came from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor


@dataclass(frozen=True, slots=True)
class LoadedClip:
    """An open_clip model in eval mode on its device, with the preprocessing that belongs to it."""

    model: torch.nn.Module
    preprocess: Callable[[Image.Image], Tensor]
    """RGB image -> float32 [3, H, W], resized, cropped and normalised as the weights expect."""
    tokenize: Callable[[Sequence[str]], Tensor]
    """n captions -> int64 [n, context_length], truncated with the end token kept."""
    arch: str
    device: torch.device
    weights_hash: str
    """sha256 (hex) over the names and bytes of all weights."""
    preprocess_hash: str
    """sha256 (hex) over the image transform and the tokenizer settings."""

    @torch.inference_mode()
    def embed_images(self, images: Tensor) -> Tensor:
        """[n, 3, H, W] -> unit vectors [n, d], float32."""
        with self._autocast():
            features = self.model.encode_image(images.to(self.device, non_blocking=True))  # type: ignore[operator]
        return torch.nn.functional.normalize(features.float(), dim=-1)

    @torch.inference_mode()
    def embed_texts(self, tokens: Tensor) -> Tensor:
        """[n, context_length] -> unit vectors [n, d], float32."""
        with self._autocast():
            features = self.model.encode_text(tokens.to(self.device, non_blocking=True))  # type: ignore[operator]
        return torch.nn.functional.normalize(features.float(), dim=-1)

    def _autocast(self) -> torch.autocast:
        """bf16 where the accelerator has it; full precision on CPU, where it is not faster."""
        enabled = self.device.type == "cuda" and torch.cuda.is_bf16_supported()
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=enabled)
