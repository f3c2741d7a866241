"""A small CLIP in OpenAI's layout, and its features and scores computed with numpy."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]
Weights = Mapping[str, Array]

WIDTH, HEADS, LAYERS, PATCH, SIDE, CONTEXT, EMBED = 128, 2, 2, 8, 32, 16, 96
CONFIG: dict[str, Any] = {
    "embed_dim": EMBED,
    "vision_cfg": {"image_size": SIDE, "layers": LAYERS, "width": WIDTH, "patch_size": PATCH},
    "text_cfg": {"context_length": CONTEXT, "vocab_size": 49408, "width": WIDTH, "heads": HEADS, "layers": LAYERS},
}
"""As open_clip has it; OpenAI's heads are 64 wide."""
_MEAN = np.array([0.48145466, 0.4578275, 0.40821073])
_STD = np.array([0.26862954, 0.26130258, 0.27577711])


def random_state(seed: int = 0) -> dict[str, Tensor]:
    """A state dict as OpenAI's archives hold it: half precision but for norms, with three numbers beside the weights.

    Weights are large enough for QuickGELU and GELU to give clearly other scores.
    """
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape: int, scale: float = 0.05) -> Tensor:
        return torch.randn(*shape, generator=draw) * scale

    def block(prefix: str) -> dict[str, Tensor]:
        state: dict[str, Tensor] = {}
        for layer in range(LAYERS):
            name = f"{prefix}transformer.resblocks.{layer}."
            state |= {
                f"{name}attn.in_proj_weight": normal(3 * WIDTH, WIDTH, scale=0.1),
                f"{name}attn.in_proj_bias": normal(3 * WIDTH),
                f"{name}attn.out_proj.weight": normal(WIDTH, WIDTH, scale=0.1),
                f"{name}attn.out_proj.bias": normal(WIDTH),
                f"{name}mlp.c_fc.weight": normal(4 * WIDTH, WIDTH, scale=0.1),
                f"{name}mlp.c_fc.bias": normal(4 * WIDTH),
                f"{name}mlp.c_proj.weight": normal(WIDTH, 4 * WIDTH, scale=0.1),
                f"{name}mlp.c_proj.bias": normal(WIDTH),
            }
            for norm in ("ln_1", "ln_2"):
                state |= {f"{name}{norm}.weight": 1 + normal(WIDTH), f"{name}{norm}.bias": normal(WIDTH)}
        return state

    norms = {
        f"{name}.{kind}": normal(WIDTH) + (kind == "weight")
        for name in ("visual.ln_pre", "visual.ln_post", "ln_final")
        for kind in ("weight", "bias")
    }
    state = {
        "positional_embedding": normal(CONTEXT, WIDTH),
        "text_projection": normal(WIDTH, EMBED),
        "logit_scale": torch.tensor(4.6),
        "visual.class_embedding": normal(WIDTH),
        "visual.positional_embedding": normal((SIDE // PATCH) ** 2 + 1, WIDTH),
        "visual.proj": normal(WIDTH, EMBED),
        "visual.conv1.weight": normal(WIDTH, 3, PATCH, PATCH),
        "token_embedding.weight": normal(49408, WIDTH),
        **block("visual."),
        **block(""),
    }
    halves = {name: value if ".ln_" in name or name == "logit_scale" else value.half() for name, value in state.items()}
    numbers = {"input_resolution": SIDE, "context_length": CONTEXT, "vocab_size": 49408}
    return halves | norms | {name: torch.tensor(value) for name, value in numbers.items()}


def save_torchscript(state: Mapping[str, Tensor], path: Path) -> None:
    """A TorchScript archive whose modules hold the tensors under their names, as OpenAI's files do."""

    def module_of(tensors: Mapping[str, Tensor]) -> torch.nn.Module:
        module = torch.nn.Module()
        for name in dict.fromkeys(key.split(".")[0] for key in tensors):
            if name in tensors:
                module.register_buffer(name, tensors[name])
                continue
            below = {
                key.removeprefix(name + "."): value for key, value in tensors.items() if key.startswith(name + ".")
            }
            module.add_module(name, module_of(below))
        return module

    root: Any = torch.jit.script(module_of(state))
    root.save(str(path))


def scores(state: Mapping[str, Tensor], pixels: NDArray[np.uint8], tokens: NDArray[np.int64], gelu: str) -> Array:
    """Cosines of images [n, SIDE, SIDE, 3] and captions [n, CONTEXT], with `quick` or `exact` activations."""
    weights = {name: value.double().numpy() for name, value in state.items()}
    activation = {"quick": _quick_gelu, "exact": _gelu}[gelu]
    image = _unit(image_features(weights, pixels, activation))
    text = _unit(text_features(weights, tokens, activation))
    return np.asarray((image * text).sum(axis=-1))


def image_features(weights: Weights, pixels: NDArray[np.uint8], activation: Callable[[Array], Array]) -> Array:
    n, side = len(pixels), SIDE // PATCH
    x = (pixels / 255 - _MEAN) / _STD
    # Rows and columns of patches, then channel, row and column within one, as in the kernel.
    patches = x.reshape(n, side, PATCH, side, PATCH, 3).transpose(0, 1, 3, 5, 2, 4).reshape(n, side * side, -1)
    x = patches @ weights["visual.conv1.weight"].reshape(WIDTH, -1).T
    x = np.concatenate([np.broadcast_to(weights["visual.class_embedding"], (n, 1, WIDTH)), x], axis=1)
    x = _norm(weights, "visual.ln_pre", x + weights["visual.positional_embedding"])
    x = _transformer(weights, "visual.", x, activation, np.zeros((side * side + 1,) * 2))
    return np.asarray(_norm(weights, "visual.ln_post", x[:, 0]) @ weights["visual.proj"])


def text_features(weights: Weights, tokens: NDArray[np.int64], activation: Callable[[Array], Array]) -> Array:
    x = weights["token_embedding.weight"][tokens] + weights["positional_embedding"]
    causal = np.triu(np.full((CONTEXT, CONTEXT), -np.inf), 1)
    x = _norm(weights, "ln_final", _transformer(weights, "", x, activation, causal))
    # The end token has the highest number.
    return np.asarray(x[np.arange(len(tokens)), tokens.argmax(axis=1)] @ weights["text_projection"])


def _transformer(weights: Weights, prefix: str, x: Array, activation: Callable[[Array], Array], mask: Array) -> Array:
    for layer in range(LAYERS):
        name = f"{prefix}transformer.resblocks.{layer}"
        x = x + _attention(weights, f"{name}.attn", _norm(weights, f"{name}.ln_1", x), mask)
        hidden = activation(_linear(weights, f"{name}.mlp.c_fc", _norm(weights, f"{name}.ln_2", x)))
        x = x + _linear(weights, f"{name}.mlp.c_proj", hidden)
    return x


def _attention(weights: Weights, name: str, x: Array, mask: Array) -> Array:
    n, length, _ = x.shape
    packed = x @ weights[f"{name}.in_proj_weight"].T + weights[f"{name}.in_proj_bias"]
    q, k, v = (part.reshape(n, length, HEADS, -1).transpose(0, 2, 1, 3) for part in np.split(packed, 3, axis=-1))
    logits = q @ k.transpose(0, 1, 3, 2) / math.sqrt(WIDTH // HEADS) + mask
    odds = np.exp(logits - logits.max(axis=-1, keepdims=True))
    mixed = (odds / odds.sum(axis=-1, keepdims=True)) @ v
    return _linear(weights, f"{name}.out_proj", mixed.transpose(0, 2, 1, 3).reshape(n, length, WIDTH))


def _linear(weights: Weights, name: str, x: Array) -> Array:
    return np.asarray(x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"])


def _norm(weights: Weights, name: str, x: Array) -> Array:
    centred = x - x.mean(axis=-1, keepdims=True)
    scale = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5)
    return np.asarray(centred / scale * weights[f"{name}.weight"] + weights[f"{name}.bias"])


def _unit(x: Array) -> Array:
    return np.asarray(x / np.linalg.norm(x, axis=-1, keepdims=True))


def _quick_gelu(x: Array) -> Array:
    return np.asarray(x / (1 + np.exp(-1.702 * x)))


def _gelu(x: Array) -> Array:
    return np.asarray(x * 0.5 * (1 + torch.erf(torch.from_numpy(x / math.sqrt(2))).numpy()))
