"""How open_clip 3.3.0 draws each tensor of a CLIP at a given width, as one table of formulas.

These are its `TextTransformer.init_parameters`, its `VisionTransformer.__init__`, and torch's defaults where it sets
nothing: kaiming-uniform with a = sqrt(5) for linear and convolution weights (standard deviation 1/sqrt(3 fan_in)) and
the same bound for their biases, xavier-uniform and zero biases in nn.MultiheadAttention.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from datascaler.errors import ConfigError
from datascaler.models.arch import mlp_widths

_BLOCK = re.compile(r"transformer\.resblocks\.\d+\.(.+)")
_NORM = re.compile(r"(?:transformer\.resblocks\.\d+\.)?ln_\w+\.(weight|bias)")


@dataclass(frozen=True, slots=True)
class InitRule:
    """How one tensor is drawn: `value` plus noise of standard deviation `std`."""

    distribution: Literal["normal", "uniform", "constant"]
    std: float
    value: float = 0.0


def init_rule(name: str, config: Mapping[str, Any]) -> InitRule:
    """The rule for the tensor `name` of the model that `config` describes; ConfigError for a name nobody classified."""
    tower, short = ("vision_cfg", name[len("visual.") :]) if name.startswith("visual.") else ("text_cfg", name)
    if norm := _NORM.fullmatch(short):
        return _constant(1.0 if norm[1] == "weight" else 0.0)
    if block := _BLOCK.fullmatch(short):
        rules = _block_rules(tower, config)
        if block[1] in rules:
            return rules[block[1]]
    top = _top_rules(config)
    if name not in top:
        raise ConfigError(f"tensor {name!r} has no known initialisation and no muP role; this model can't be built")
    return top[name]


def _top_rules(config: Mapping[str, Any]) -> dict[str, InitRule]:
    vision, text = config["vision_cfg"], config["text_cfg"]
    patch = vision["patch_size"]
    patch_area = patch**2 if isinstance(patch, int) else math.prod(patch)
    return {
        "visual.conv1.weight": _kaiming(3 * patch_area),
        "visual.class_embedding": _normal(vision["width"] ** -0.5),
        "visual.positional_embedding": _normal(vision["width"] ** -0.5),
        "visual.proj": _normal(vision["width"] ** -0.5),
        "token_embedding.weight": _normal(0.02),
        "positional_embedding": _normal(0.01),
        "text_projection": _normal(text["width"] ** -0.5),
        "logit_scale": _constant(config.get("init_logit_scale", math.log(1 / 0.07))),
        "logit_bias": _constant(config.get("init_logit_bias") or 0.0),
    }


def _block_rules(tower: str, config: Mapping[str, Any]) -> dict[str, InitRule]:
    width, layers = config[tower]["width"], config[tower]["layers"]
    mlp_width = mlp_widths(config)[0 if tower == "vision_cfg" else 1]
    residual_std = width**-0.5 * (2 * layers) ** -0.5
    rules = {
        "attn.in_proj_bias": _constant(0.0),
        "attn.out_proj.bias": _constant(0.0),
        "mlp.c_fc.bias": _kaiming(width),
        "mlp.c_proj.bias": _kaiming(mlp_width),
    }
    if config[tower].get("ls_init_value") is not None:
        gamma = _constant(config[tower]["ls_init_value"])
        rules |= {"ls_1.gamma": gamma, "ls_2.gamma": gamma}
    if tower == "vision_cfg":
        return rules | {
            # Xavier over the packed [3 width, width] matrix.
            "attn.in_proj_weight": InitRule("uniform", math.sqrt(2 / (width + 3 * width))),
            "attn.out_proj.weight": _kaiming(width),
            "mlp.c_fc.weight": _kaiming(width),
            "mlp.c_proj.weight": _kaiming(mlp_width),
        }
    return rules | {
        "attn.in_proj_weight": _normal(width**-0.5),
        "attn.out_proj.weight": _normal(residual_std),
        "mlp.c_fc.weight": _normal((2 * width) ** -0.5),
        "mlp.c_proj.weight": _normal(residual_std),
    }


def _normal(std: float) -> InitRule:
    return InitRule("normal", std)


def _constant(value: float) -> InitRule:
    return InitRule("constant", 0.0, value)


def _kaiming(fan_in: int) -> InitRule:
    return InitRule("uniform", 1 / math.sqrt(3 * fan_in))
