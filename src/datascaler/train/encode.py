"""What a step asks of the two towers: unit features of images and captions, as cheaply as is exact."""

from contextlib import nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from datascaler.models.device import to_device
from datascaler.models.text_trim import encode_by_length, text_tower
from datascaler.spec.train import TrainSpec
from datascaler.train.loss import Encode

_CPU_PASS_TOKENS = 100
_DEVICE_PASS_TOKENS = 4096
"""What one more pass through the text tower costs, in tokens that a pass could have done."""
_COMPILED_MULTIPLE = 8


def encoder(model: nn.Module, spec: TrainSpec, device: torch.device) -> Encode:
    """Return what encodes images on the device and tokens on the CPU, cut after the captions' ends where exact."""
    clip: Any = model
    tower, bf16 = text_tower(model), _computes_in_bf16(spec, device)
    encode_images: Any = clip.encode_image
    encode_texts: Any = tower.encode if tower else clip.encode_text
    if spec.grad_checkpointing:
        clip.set_grad_checkpointing()
    if spec.torch_compile:
        # Sizes differ from pass to pass, and one that is compiled for all of them is compiled once.
        encode_images, encode_texts = (torch.compile(each, dynamic=True) for each in (encode_images, encode_texts))

    def encode(images: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast(device.type, torch.bfloat16) if bf16 else nullcontext():
            image = encode_images(images)
            if tower is None:
                text = encode_texts(to_device(tokens, device))
            else:
                text = encode_by_length(
                    tower,
                    tokens,
                    pass_tokens=_CPU_PASS_TOKENS if device.type == "cpu" else _DEVICE_PASS_TOKENS,
                    multiple=_COMPILED_MULTIPLE if spec.torch_compile else 1,
                    encode=encode_texts,
                )
        return F.normalize(image.float(), dim=-1), F.normalize(text.float(), dim=-1)

    return encode


def _computes_in_bf16(spec: TrainSpec, device: torch.device) -> bool:
    if spec.precision == "auto":
        return device.type == "cuda" and torch.cuda.is_bf16_supported()
    return spec.precision == "bf16"
