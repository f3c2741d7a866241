"""CLIP's contrastive loss over a global batch of which every process holds a part (arXiv 2103.00020, section 2.3)."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
import torch.nn.functional as F
from torch import Tensor

from datascaler.train.distributed import World, gather_rows

Encode = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""images [n, 3, H, W] and tokens [n, L] -> unit image and text features, both [n, d]."""


def part_of_loss(image: Tensor, text: Tensor, logit_scale: Tensor, global_batch: int, world: World) -> Tensor:
    """This rank's share of the global loss: the shares of all ranks add up to it.

    Args:
        image, text: unit features of this rank's samples, [n, d].
        logit_scale: the factor itself (not its logarithm), a scalar.
    """
    all_image, first = gather_rows(image, world)
    all_text, _ = gather_rows(text, world)
    labels = torch.arange(first, first + len(image), device=image.device)
    image_to_text = F.cross_entropy(logit_scale * image @ all_text.T, labels, reduction="sum")
    text_to_image = F.cross_entropy(logit_scale * text @ all_image.T, labels, reduction="sum")
    return (image_to_text + text_to_image) / (2 * global_batch)


def backward_whole(
    encode: Encode, logit_scale: Callable[[], Tensor], images: Tensor, tokens: Tensor, global_batch: int, world: World
) -> Tensor:
    """Gradients of this rank's share of the loss, in one forward pass. Returns the share."""
    loss = part_of_loss(*encode(images, tokens), logit_scale(), global_batch, world)
    loss.backward()  # type: ignore[no-untyped-call]
    return loss.detach()


def backward_in_pieces(
    encode: Encode,
    logit_scale: Callable[[], Tensor],
    images: Tensor,
    tokens: Tensor,
    global_batch: int,
    world: World,
    piece: int,
) -> Tensor:
    """The same gradients with at most `piece` samples' activations in memory (GradCache, arXiv 2101.06983).

    Features first, without a graph; the loss's gradient with respect to them; then each piece again, with a graph,
    which carries its part of that gradient to the weights.
    """
    pieces = list(zip(torch.split(images, piece), torch.split(tokens, piece), strict=True))
    with torch.no_grad():
        encoded = [encode(*each) for each in pieces]
    image = torch.cat([features for features, _ in encoded]).requires_grad_()
    text = torch.cat([features for _, features in encoded]).requires_grad_()
    loss = part_of_loss(image, text, logit_scale(), global_batch, world)
    loss.backward()  # type: ignore[no-untyped-call]
    assert image.grad is not None
    assert text.grad is not None
    for each, image_gradient, text_gradient in zip(
        pieces, torch.split(image.grad, piece), torch.split(text.grad, piece), strict=True
    ):
        torch.autograd.backward(encode(*each), (image_gradient, text_gradient))
    return loss.detach()


def encoder(model: torch.nn.Module, autocast: Callable[[], AbstractContextManager[None]]) -> Encode:
    def encode(images: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        with autocast():
            image = model.encode_image(images, normalize=False)  # type: ignore[operator]
            text = model.encode_text(tokens, normalize=False)  # type: ignore[operator]
        return F.normalize(image.float(), dim=-1), F.normalize(text.float(), dim=-1)

    return encode
