"""Contrastive losses over a global batch of which every process holds a part, and their gradients.

CLIP's (arXiv 2103.00020, section 2.3) tells each image's text from all others by a softmax, SigLIP's (arXiv 2303.15343)
each pair from every other by a sigmoid.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from datascaler.train.distributed import World, gather_rows

Encode = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""images [n, 3, H, W] and tokens [n, L] -> unit image and text features, both [n, d]."""

ShareOfLoss = Callable[[Tensor, Tensor], Tensor]
"""Unit image and text features of this rank's samples, both [n, d] -> its share of the loss, which all add up to."""


def softmax_loss(image: Tensor, text: Tensor, logit_scale: Tensor, global_batch: int, world: World) -> Tensor:
    """This rank's share of CLIP's loss. `logit_scale` is the factor itself, not its logarithm."""
    all_image, first = gather_rows(image, world)
    all_text, _ = gather_rows(text, world)
    labels = torch.arange(first, first + len(image), device=image.device)
    image_to_text = F.cross_entropy(logit_scale * image @ all_text.T, labels, reduction="sum")
    text_to_image = F.cross_entropy(logit_scale * text @ all_image.T, labels, reduction="sum")
    return (image_to_text + text_to_image) / (2 * global_batch)


def sigmoid_loss(
    image: Tensor, text: Tensor, logit_scale: Tensor, logit_bias: Tensor, global_batch: int, world: World
) -> Tensor:
    """This rank's share of SigLIP's loss: its images with all texts."""
    all_text, first = gather_rows(text, world)
    own = torch.arange(first, first + len(image), device=image.device)
    pairs = own[:, None] == torch.arange(len(all_text), device=image.device)
    logits = logit_scale * image @ all_text.T + logit_bias
    return -F.logsigmoid(torch.where(pairs, logits, -logits)).sum() / global_batch


def backward_whole(
    encode: Encode, loss: ShareOfLoss, images: Tensor, tokens: Tensor, before_last: Callable[[], None] = lambda: None
) -> Tensor:
    """Gradients of this rank's share of the loss, in one forward pass. Returns the share.

    `before_last` is called before the backward pass through the towers, after which they have their gradients.
    """
    features = encode(images, tokens)
    share, gradients = _backward_of_loss(loss, *features)
    before_last()
    torch.autograd.backward(features, gradients)
    return share


def backward_in_pieces(
    encode: Encode,
    loss: ShareOfLoss,
    images: Tensor,
    tokens: Tensor,
    piece: int,
    before_last: Callable[[], None] = lambda: None,
) -> Tensor:
    """The same gradients with at most `piece` samples' activations in memory (GradCache, arXiv 2101.06983).

    Features first, without a graph; the loss's gradient with respect to them; then each piece again, with a graph,
    which carries its part of that gradient to the weights.
    """
    pieces = list(zip(torch.split(images, piece), torch.split(tokens, piece), strict=True))
    with torch.no_grad():
        encoded = [encode(*each) for each in pieces]
    image, text = (torch.cat(features) for features in zip(*encoded, strict=True))
    share, gradients = _backward_of_loss(loss, image, text)
    parts = zip(*(torch.split(each, piece) for each in gradients), strict=True)
    for number, (each, gradient) in enumerate(zip(pieces, parts, strict=True), start=1):
        features = encode(*each)
        if number == len(pieces):
            before_last()
        torch.autograd.backward(features, gradient)
    return share


def _backward_of_loss(loss: ShareOfLoss, image: Tensor, text: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """The share, and its gradients with respect to the features. All that ranks say about features, they say here."""
    image, text = image.detach().requires_grad_(), text.detach().requires_grad_()
    share = loss(image, text)
    share.backward()  # type: ignore[no-untyped-call]
    assert image.grad is not None
    assert text.grad is not None
    return share.detach(), (image.grad, text.grad)
