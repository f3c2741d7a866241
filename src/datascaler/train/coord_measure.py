"""How large what a CLIP computes is, before and after each of a few steps on one batch."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from datascaler.models.attention import ScaledAttention
from datascaler.models.build import BuiltClip, build_clip
from datascaler.models.optimizer import build_optimizer
from datascaler.spec.coord_check import CoordCheckSpec
from datascaler.train.distributed import World
from datascaler.train.loss import softmax_loss

Kind = Literal["block", "feature", "direction", "attention", "cosine"]
_WORDS = (0.3, 0.9)
"""Captions end after so much of the context."""


@dataclass(frozen=True, slots=True)
class Coordinate:
    """The size of one thing that a model computes."""

    width_mult: float
    seed: int
    step: int
    kind: Kind
    name: str
    size: float
    """Mean of absolute values; of a direction, how far it is from where it was at step 0."""


def coordinates(
    spec: CoordCheckSpec, width_mult: Fraction, seed: int, device: torch.device, *, use_mup: bool
) -> Iterator[Coordinate]:
    """Train one model for a few steps on one batch. Yields nothing more once a value is not finite."""
    base = spec.width_mults[0]
    clip = build_clip(spec.model_arch, width_mult=width_mult, min_width_mult=base, use_mup=use_mup, seed=seed)
    clip.model.to(device)
    optimizer = build_optimizer(clip.model, clip.table, lr=spec.lr, weight_decay=spec.weight_decay, eps=spec.eps)
    images, tokens = (each.to(device) for each in _batch(clip, spec.batch_size, seed))
    model: Any = clip.model
    world = World(rank=0, size=1, device=device)
    first: dict[str, Tensor] = {}
    for step in range(spec.steps + 1):
        with _watched(model) as sizes:
            features = {"image": model.encode_image(images), "text": model.encode_text(tokens)}
        image, text = (F.normalize(each, dim=-1) for each in features.values())
        sizes += [("feature", name, each.detach().abs().mean()) for name, each in features.items()]
        sizes.append(("cosine", "image and text", (image @ text.T).detach().abs().mean()))
        for name, unit in (("image", image.detach()), ("text", text.detach())):
            if step:
                sizes.append(("direction", name, (unit - first[name]).norm(dim=-1).mean()))
            else:
                first[name] = unit
        found = [(kind, name, float(size)) for kind, name, size in sizes]
        if not all(torch.isfinite(torch.tensor([size for *_, size in found]))):
            return
        for kind, name, size in found:
            yield Coordinate(float(width_mult), seed, step, kind, name, size)
        optimizer.zero_grad()
        torch.autograd.backward(softmax_loss(image, text, model.logit_scale.exp(), spec.batch_size, world))
        optimizer.step()


def _batch(clip: BuiltClip, size: int, seed: int) -> tuple[Tensor, Tensor]:
    """Noise and words by chance: what they mean is nothing to the sizes. The same for all widths."""
    vision, text = clip.config["vision_cfg"], clip.config["text_cfg"]
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(size, 3, vision["image_size"], vision["image_size"], generator=generator)
    length, end = text["context_length"], text["vocab_size"] - 1
    tokens = torch.randint(1, end, (size, length), generator=generator)
    low, high = (max(1, int(length * share)) for share in _WORDS)
    for row, stop in zip(tokens, torch.randint(low, high, (size,), generator=generator).tolist(), strict=True):
        row[stop], row[stop + 1 :] = end, 0
    return images, tokens


@contextmanager
def _watched(model: nn.Module) -> Iterator[list[tuple[Kind, str, Tensor]]]:
    """Collect what the blocks put out, and the attention logits of each tower's last block, while it is open."""
    sizes: list[tuple[Kind, str, Tensor]] = []
    with ExitStack() as stack:
        for tower, name in (("visual.transformer", "vision"), ("transformer", "text")):
            blocks: Any = model.get_submodule(f"{tower}.resblocks")
            for number, block in enumerate(blocks):
                stack.callback(block.register_forward_hook(_keep(sizes, f"{name} block {number + 1}")).remove)
            stack.callback(
                blocks[-1].attn.register_forward_pre_hook(_keep_logits(sizes, name), with_kwargs=True).remove
            )
        yield sizes


def _keep(sizes: list[tuple[Kind, str, Tensor]], name: str) -> Callable[..., None]:
    def hook(_module: nn.Module, _given: Any, output: Tensor) -> None:
        sizes.append(("block", name, output.detach().abs().mean()))

    return hook


def _keep_logits(sizes: list[tuple[Kind, str, Tensor]], tower: str) -> Callable[..., None]:
    def hook(module: Any, given: tuple[Tensor, ...], named: dict[str, Tensor]) -> None:
        query = (given[0] if given else named["query"]).detach()
        weight, bias = module.in_proj_weight.detach(), module.in_proj_bias.detach()
        packed = F.linear(query, weight, bias)
        q, k, _ = packed.view(*query.shape[:2], 3, module.num_heads, -1).unbind(2)
        scale = module.scale if isinstance(module, ScaledAttention) else module.head_dim**-0.5
        logits = torch.einsum("nqhd,nkhd->nhqk", q, k) * scale
        sizes.append(("attention", f"{tower} attention", logits.abs().mean()))

    return hook
