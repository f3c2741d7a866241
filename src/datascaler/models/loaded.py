"""A CLIP that is ready to embed: what scoring and evaluation need to know of a model, wherever it came from."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize

from datascaler.errors import ConfigError
from datascaler.models.device import to_device
from datascaler.models.image_transform import (
    FastTransform,
    SplitTransform,
    WholeTransform,
    fast_transform,
    split_transform,
)
from datascaler.models.text_trim import encode_by_length, text_tower
from datascaler.spec.train import Decoder, Precision
from datascaler.tools.foreign_warnings import refuse_wrong_results

_CPU_PASS_TOKENS = 100
_DEVICE_PASS_TOKENS = 4096
"""What starting a pass through the text tower costs, in tokens; on a device it is the launch of its kernels."""
_COMPILED_MULTIPLE = 8


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
    config: str = ""
    """open_clip's name of what was built: not `arch` where the weights want QuickGELU and `arch` is without it."""
    compiled: tuple[Any, Any] | None = None
    """What stands in for the image and the text encoder after `compile`."""
    unfinished: str = ""
    """What is said of a run that has not ended: how much it had seen when its newest checkpoint was saved."""
    chosen_precision: Literal["float32", "bfloat16"] | None = None
    """What the towers compute in; None is what is quick on the device."""
    bfloat16_images: bool = False
    """Whether the image tower's weights are bfloat16; the text tower is as ever, since there it would be slower."""
    decode: Decoder = "bicubic"

    @property
    def transform(self) -> SplitTransform | WholeTransform | FastTransform:
        """`preprocess`, in the part of a decode worker and the part of the device."""
        return fast_transform(self.preprocess) if self.decode == "fast" else split_transform(self.preprocess)

    @property
    def precision(self) -> str:
        """What the towers compute in: bfloat16 or float16 on a device, full precision on CPU, where it is as fast."""
        if self.bfloat16_images:
            return "bfloat16 images"
        if self.chosen_precision:
            return self.chosen_precision
        if self.device.type != "cuda":
            return "float32"
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"

    @property
    def width(self) -> int:
        """Length of the unit vectors."""
        return int(self.embed_texts(self.tokenize([""])).shape[1])

    def decoding(self, how: Decoder) -> "LoadedClip":
        """The same with images made small in that way, which is a part of `preprocess_hash`. Raises ConfigError."""
        if how == self.decode:
            return self
        fast_transform(self.preprocess)
        digest = hashlib.sha256(f"{self.preprocess_hash} {how}".encode()).hexdigest()
        return replace(self, decode=how, preprocess_hash=digest)

    def computing_in(self, precision: Precision) -> "LoadedClip":
        """The same in that precision. On a CPU bf16 is for the image tower alone, whose weights are turned into it."""
        if precision == "auto":
            return self
        if precision == "fp32" or self.device.type != "cpu":
            return replace(self, chosen_precision="float32" if precision == "fp32" else "bfloat16")
        visual: Any = self.model.visual
        visual.to(torch.bfloat16)
        return replace(self, bfloat16_images=True)

    def compile(self) -> "LoadedClip":
        """The same, by torch.compile; the first batches take minutes."""
        tower = text_tower(self.model)
        encoders: tuple[Any, Any] = (self.model.encode_image, tower.encode if tower else self.model.encode_text)
        image, text = (torch.compile(encode, dynamic=True) for encode in encoders)
        return replace(self, compiled=(image, text))

    def embed_images(self, images: Tensor) -> Tensor:
        """[n, 3, H, W] -> unit vectors [n, d], float32. Raises ConfigError where the device's memory is too small."""
        with self._forward(len(images)):
            return self._embed_images(to_device(images, self.device))

    def embed_prepared(self, images: Tensor) -> Tensor:
        """The same of images as `transform.prepare` gives them, stacked."""
        with self._forward(len(images)):
            return self._embed_images(self.transform.finish(to_device(images, self.device)))

    def embed_texts(self, tokens: Tensor) -> Tensor:
        """[n, context_length] -> unit vectors [n, d], float32. Raises as `embed_images` does."""
        self._require_words(tokens)
        with self._forward(len(tokens)):
            tower = text_tower(self.model)
            if tower is None:
                encode: Any = self.compiled[1] if self.compiled else self.model.encode_text
                return normalize(encode(to_device(tokens, self.device)).float(), dim=-1)
            features = encode_by_length(
                tower,
                tokens,
                pass_tokens=_CPU_PASS_TOKENS if self.device.type == "cpu" else _DEVICE_PASS_TOKENS,
                multiple=_COMPILED_MULTIPLE if self.compiled else 1,
                encode=self.compiled[1] if self.compiled else None,
            )
            return normalize(features.float(), dim=-1)

    def _require_words(self, tokens: Tensor) -> None:
        """Raise ConfigError for tokens that the text tower has no vector for; a device would end the process."""
        known = getattr(self.model, "vocab_size", 0)
        if known and tokens.device.type == "cpu" and tokens.numel() and (highest := int(tokens.max())) >= known:
            raise ConfigError(
                f"{self.arch} knows tokens up to {known - 1}, and its tokenizer gives {highest}: correct vocab_size "
                "in its config, or name its tokenizer there (text_cfg.hf_tokenizer_name)"
            )

    def _embed_images(self, images: Tensor) -> Tensor:
        encode: Any = self.compiled[0] if self.compiled else self.model.encode_image
        return normalize(encode(images.to(torch.bfloat16) if self.bfloat16_images else images).float(), dim=-1)

    @contextmanager
    def _forward(self, size: int) -> Iterator[None]:
        dtype = torch.float32 if self.bfloat16_images else getattr(torch, self.precision)
        reduced = dtype is not torch.float32
        try:
            with (
                refuse_wrong_results(f"{self.arch} on {self.device}"),
                torch.inference_mode(),
                torch.autocast(self.device.type, dtype if reduced else None, enabled=reduced),
            ):
                yield
        except torch.OutOfMemoryError as error:
            raise ConfigError(
                f"{self.arch} with {size} samples at a time does not fit the memory of {self.device}: "
                "lower --batch-size"
            ) from error
