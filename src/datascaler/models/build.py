"""Build a CLIP to train from scratch: architecture, width, parametrisation and seed to a model and its role table."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch

from datascaler.models.arch import head_dims, meta_clip, reference_config
from datascaler.models.attention import replace_attention
from datascaler.models.init import initialise
from datascaler.models.roles import ParamRole, role_table
from datascaler.models.width import check_base_width, check_width, scaled_config
from datascaler.spec.train import LossName


@dataclass(frozen=True, slots=True)
class BuiltClip:
    """A freshly initialised float32 CLIP on the CPU, in training mode, and what muP knows of it."""

    model: torch.nn.Module
    table: dict[str, ParamRole]
    config: dict[str, Any]
    """The open_clip config at this width: `open_clip.CLIP(**config)` takes the weights."""
    arch: str
    width_mult: Fraction
    base_width_mult: Fraction
    """Where muP and the standard parametrisation coincide; the model's own width under the standard one."""

    @property
    def ratio(self) -> float:
        """Width over base width, muP's r; 1 under the standard parametrisation."""
        return float(self.width_mult / self.base_width_mult)


def build_clip(
    arch: str,
    *,
    width_mult: Fraction = Fraction(1),
    min_width_mult: Fraction | None = None,
    use_mup: bool = False,
    seed: int = 0,
    loss: LossName = "clip",
) -> BuiltClip:
    """An `open_clip.CLIP` of `arch` at `width_mult`, initialised from `seed`.

    Under the standard parametrisation it has stock blocks and open_clip's init at its own width. With `use_mup` the
    base width is `min_width_mult` (1 if not given), constants are those of the base, and attention logits scale as
    1/d. Both are the same model where the width is the base width. With the loss siglip it has a logit bias.

    Returns a BuiltClip: `model` is float32, on the CPU and in training mode; `table` has each tensor's role by its
    name; `ratio` is muP's r, by which learning rates and weight decays of hidden matrices are scaled.

    Raises ConfigError for an unknown or unsupported architecture, an illegal width, and a base wider than the model.

    Example:
        >>> from fractions import Fraction
        >>> built = build_clip("ViT-B-32", width_mult=Fraction(3, 16), min_width_mult=Fraction(3, 32), use_mup=True)
        >>> built.ratio, built.config["vision_cfg"]["width"], built.config["embed_dim"]
        (2.0, 144, 96)
    """
    base_width_mult = check_clip(arch, width_mult, min_width_mult, use_mup=use_mup)
    reference = reference_config(arch, loss)
    table = role_table(arch, width_mult, base_width_mult, loss)
    config = scaled_config(reference, width_mult)
    model = _materialise(meta_clip(config))
    initialise(model, table, seed)
    if use_mup:
        vision_head_dim, text_head_dim = head_dims(scaled_config(reference, base_width_mult))
        replace_attention(model, base_vision_head_dim=vision_head_dim, base_text_head_dim=text_head_dim)
    return BuiltClip(
        model=model,
        table=table,
        config=config,
        arch=arch,
        width_mult=width_mult,
        base_width_mult=base_width_mult,
    )


def check_clip(arch: str, width_mult: Fraction, min_width_mult: Fraction | None, *, use_mup: bool) -> Fraction:
    """The base width of the model that `build_clip` would build, or its ConfigError, without building anything."""
    reference = reference_config(arch)
    check_width(reference, width_mult)
    if not use_mup:
        return width_mult
    base_width_mult = Fraction(1) if min_width_mult is None else min_width_mult
    check_base_width(reference, width_mult, base_width_mult)
    return base_width_mult


def _materialise(model: torch.nn.Module) -> torch.nn.Module:
    """Give an empty model memory on the CPU. Its one buffer, the causal mask, is in no table and so is set here."""
    model.to_empty(device="cpu")
    buffers = dict(model.named_buffers())
    assert buffers.keys() == {"attn_mask"}, f"unexpected buffers {sorted(buffers)}"
    buffers["attn_mask"].fill_(float("-inf")).triu_(1)
    return model
