"""Which architectures can be trained here, as open_clip config dicts, and how one becomes an empty model.

Only what muP can scale is let in: a plain ViT vision tower and open_clip's own causal text transformer, joined by
`open_clip.CLIP`. That class has the names that released weights have (`transformer.*`, `visual.*`).
"""

import difflib
import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch

from datascaler.errors import ConfigError
from datascaler.models.open_clip_parts import CLIP, factory
from datascaler.safe_text import shown
from datascaler.spec.train import LossName

_CONFIGS = Path(__file__).parent / "configs"
_INITIAL_SCALARS: dict[LossName, dict[str, Any]] = {
    "clip": {},
    "siglip": {"init_logit_scale": math.log(10), "init_logit_bias": -10.0},
}
"""SigLIP's are those of arXiv 2303.15343, section 3.1."""

# Keys that may be set, and what they must be where only one value leaves the tower a plain transformer.
_FREE_KEYS = {
    "model": {"embed_dim", "vision_cfg", "text_cfg", "quick_gelu", "init_logit_scale", "init_logit_bias"},
    "vision_cfg": {
        *("image_size", "patch_size", "layers", "width", "head_width", "mlp_ratio", "ls_init_value"),
        *("patch_dropout", "no_ln_pre", "final_ln_after_pool", "norm_kwargs", "act_kwargs"),
    },
    "text_cfg": {
        *("context_length", "vocab_size", "layers", "width", "heads", "mlp_ratio", "ls_init_value"),
        *("norm_kwargs", "act_kwargs", "eos_id", "hf_tokenizer_name", "tokenizer_mode", "tokenizer_kwargs"),
    },
}
_ALLOWED_VALUES: dict[tuple[str, str], tuple[object, ...]] = {
    ("vision_cfg", "pool_type"): ("tok", "avg"),
    ("vision_cfg", "pos_embed_type"): ("learnable",),
    ("vision_cfg", "block_type"): ("default",),
    ("text_cfg", "pool_type"): ("argmax", "first", "last", "eos"),
    ("text_cfg", "proj_type"): ("linear",),
    ("text_cfg", "block_type"): ("default",),
}


@cache
def register_configs() -> None:
    """Make our own architectures known to open_clip: its tokenizer and its factory go by name."""
    factory.add_model_config(_CONFIGS)


def known_archs(arch: str) -> list[str]:
    """open_clip's names. Ours join its table only when a name is asked for that is not its own: the table is shared
    with the program that calls this library.
    """
    known: list[str] = factory.list_models()
    if arch not in known and ":" not in arch:  # hf-hub:NAME and local-dir:FOLDER are in no table
        register_configs()
        known = factory.list_models()
    return known


def reference_config(arch: str, loss: LossName = "clip") -> dict[str, Any]:
    """The open_clip config of `arch` at width 1, a fresh copy, with the scalars of the loss.

    Raises ConfigError for an unknown name (with the nearest names) and for an architecture that muP can't scale.
    """
    known = known_archs(arch)
    if arch not in known and ":" not in arch:  # hf-hub:NAME and local-dir:FOLDER are in no table
        close = difflib.get_close_matches(arch, known, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else "see open_clip.list_models()"
        raise ConfigError(f"unknown architecture {arch!r}; {hint}")
    config: dict[str, Any] = factory.get_model_config(arch)
    _check_supported(arch, config)
    return config | _INITIAL_SCALARS[loss]


def head_dims(config: Mapping[str, Any]) -> tuple[int, int]:
    """(vision, text) width of one attention head."""
    text = config["text_cfg"]
    return config["vision_cfg"].get("head_width", 64), text["width"] // text["heads"]


def mlp_widths(config: Mapping[str, Any]) -> tuple[int, int]:
    """(vision, text) hidden width of the MLPs, by open_clip's formula."""
    vision, text = config["vision_cfg"], config["text_cfg"]
    return int(vision["width"] * vision.get("mlp_ratio", 4.0)), int(text["width"] * text.get("mlp_ratio", 4.0))


def meta_clip(config: Mapping[str, Any]) -> torch.nn.Module:
    """An `open_clip.CLIP` without memory: shapes and names only."""
    with torch.device("meta"):
        model: torch.nn.Module = CLIP(**config)
    return model


def _check_supported(arch: str, config: Mapping[str, Any]) -> None:
    sections = {"model": config, "vision_cfg": config["vision_cfg"], "text_cfg": config["text_cfg"]}
    for section, settings in sections.items():
        for key, value in settings.items():
            allowed = _ALLOWED_VALUES.get((section, key), ())
            # Anything else is fine while it is off.
            if key in _FREE_KEYS[section] or value in allowed or value in (None, False):
                continue
            _refuse(arch, f"its {section} has {key}={shown(value)}")
    vision, text = config["vision_cfg"], config["text_cfg"]
    if not isinstance(vision["layers"], int):
        _refuse(arch, "its vision tower is a ResNet")
    if vision["width"] % head_dims(config)[0] or text["width"] % text["heads"]:
        _refuse(arch, "its widths are not whole numbers of heads")


def _refuse(arch: str, reason: str) -> None:
    raise ConfigError(
        f"architecture {arch} can't be built here: {reason}; "
        "only a ViT vision tower with open_clip's causal text transformer is supported, such as ViT-B-32"
    )
