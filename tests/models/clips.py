"""A small CLIP batch and the features of a model on it."""

import torch
from torch import Tensor, nn

ARCH = "ViT-Mini-8-48"
END_TOKEN = 49407


def small_batch(size: int = 3) -> tuple[Tensor, Tensor]:
    """Images [size, 3, 48, 48] and tokens [size, 16] for `ARCH`, always the same."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(size, 3, 48, 48, generator=generator)
    tokens = torch.randint(1, END_TOKEN, (size, 16), generator=generator)
    tokens[:, 9] = END_TOKEN
    return images, tokens


def features(model: nn.Module, size: int = 3) -> Tensor:
    """Image and text features, stacked: [2, size, d]."""
    images, tokens = small_batch(size)
    return torch.stack([model.encode_image(images), model.encode_text(tokens)])  # type: ignore[operator]


def contrastive_loss(model: nn.Module, size: int = 3) -> Tensor:
    image, text = torch.nn.functional.normalize(features(model, size), dim=-1)
    logits = model.logit_scale.exp() * image @ text.T  # type: ignore[operator]
    target = torch.arange(size)
    return (torch.nn.functional.cross_entropy(logits, target) + torch.nn.functional.cross_entropy(logits.T, target)) / 2
