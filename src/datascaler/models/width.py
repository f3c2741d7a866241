"""The one dial: a width multiplier that scales every width of an architecture and nothing else.

Heads are fixed and head_dim grows, embed_dim grows with the towers: then both projections are hidden matrices and
attention is scaled as in Tensor Programs V (arXiv 2203.03466). Multipliers are exact fractions, never rounded.
"""

import copy
import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from datascaler.errors import ConfigError
from datascaler.models.arch import head_dims, mlp_widths
from datascaler.spec.numbers import format_fraction


def scaled_config(reference: Mapping[str, Any], width_mult: Fraction) -> dict[str, Any]:
    """The config of `reference` at `width_mult`: widths, head_dim, MLP and embed_dim times it, heads unchanged.

    Raises ConfigError where a width would not be whole.
    """
    check_width(reference, width_mult)
    config = copy.deepcopy(dict(reference))
    vision, text = config["vision_cfg"], config["text_cfg"]
    vision["head_width"] = int(head_dims(reference)[0] * width_mult)
    for section, key in ((vision, "width"), (text, "width"), (config, "embed_dim")):
        section[key] = int(section[key] * width_mult)
    for section, scaled, hidden in zip((vision, text), mlp_widths(config), mlp_widths(reference), strict=True):
        if scaled != hidden * width_mult:
            # open_clip takes the floor of width * mlp_ratio; half a unit more makes that floor the exact width.
            section["mlp_ratio"] = (int(hidden * width_mult) + 0.5) / section["width"]
    return config


def check_width(reference: Mapping[str, Any], width_mult: Fraction, name: str = "width multiplier") -> None:
    """Refuse a multiplier under which some width is not a whole number, naming the nearest that are legal."""
    if width_mult > 0 and width_mult % _grid(reference) == 0:
        return
    nearest = " and ".join(_show(legal) for legal in nearest_legal_widths(reference, width_mult))
    raise ConfigError(
        f"{name} {_show(width_mult)} gives widths that are not whole numbers; "
        f"nearest legal: {nearest} (multiples of {_show(_grid(reference))})"
    )


def nearest_legal_widths(reference: Mapping[str, Any], width_mult: Fraction) -> tuple[Fraction, ...]:
    """The legal multipliers around `width_mult`, the one below first; only the smallest one if there is none below."""
    grid = _grid(reference)
    below = math.floor(width_mult / grid)
    above = math.ceil(width_mult / grid)
    return tuple(sorted({step * grid for step in (below, above) if step > 0} or {grid}))


def check_base_width(reference: Mapping[str, Any], width_mult: Fraction, min_width_mult: Fraction) -> None:
    """Refuse a base width that is illegal or wider than the model."""
    check_width(reference, width_mult)
    check_width(reference, min_width_mult, name="minimum width multiplier")
    if min_width_mult > width_mult:
        raise ConfigError(
            f"the minimum width multiplier must be at most the width multiplier {_show(width_mult)}, "
            f"got {_show(min_width_mult)}"
        )


def _grid(reference: Mapping[str, Any]) -> Fraction:
    """The legal multipliers are the multiples of this: one over what all scaled widths have in common."""
    return Fraction(1, math.gcd(*head_dims(reference), *mlp_widths(reference), reference["embed_dim"]))


def _show(value: Fraction) -> str:
    return format_fraction(value).replace("-", "/") if value > 0 else str(float(value))
