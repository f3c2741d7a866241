"""Random numbers of a sample's own for code that takes them from the process: torch's and Python's generators."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from datascaler.tools.philox import uniforms

_PURPOSE = 1
"""Purpose 0 of (seed, draw) is the random crop."""


@contextmanager
def seeded(seed: int, draw: int) -> Iterator[None]:
    """Inside, torch's CPU generator and Python's give what belongs to (seed, draw); afterwards they are as before."""
    number = int(uniforms(1, (seed, draw), _PURPOSE)[0] * 2**53)
    before, torch_before = random.getstate(), torch.get_rng_state()
    random.seed(number)
    # torch.manual_seed would seed the GPUs too.
    torch.default_generator.manual_seed(number)
    try:
        yield
    finally:
        random.setstate(before)
        torch.set_rng_state(torch_before)
