"""How many threads a training process computes with, where its network is on a CPU that decodes pictures too."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from datascaler.tools.usable_cores import usable_cores

_LIGHT_FLOP = 80e6
"""A core's floating-point operations in the 2 ms in which it decodes a picture of 512 pixels."""


@contextmanager
def compute_threads(config: dict[str, Any], num_workers: int, device: torch.device) -> Iterator[None]:
    """Compute, inside, in no more threads than loader workers leave cores, if a sample takes longer to decode.

    Threads that wait for each other are then taken from the loader, which all wait for. It depends on the network and
    the node alone: a run that is stopped goes on with the same sums, in the same order. Another network, or one on an
    accelerator, computes in as many threads as ever.
    """
    before = torch.get_num_threads()
    if device.type == "cpu" and num_workers and flop_per_sample(config) < _LIGHT_FLOP:
        torch.set_num_threads(max(1, min(before, usable_cores() - num_workers)))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def flop_per_sample(config: dict[str, Any]) -> float:
    """Floating-point operations of a training step for each of its samples, in the matrices of the two towers' blocks.

    A block of width w has 12 w^2 weights, and each costs every token 2 forward and 4 backward.
    """
    vision, text = config["vision_cfg"], config["text_cfg"]
    patches = (vision["image_size"] // vision["patch_size"]) ** 2
    towers = ((vision, patches + 1), (text, text["context_length"]))
    return float(sum(6 * 12 * tower["layers"] * tower["width"] ** 2 * tokens for tower, tokens in towers))
