"""One initialisation for both parametrisations: every tensor is drawn from its row of the role table.

Each tensor has a generator of its own, seeded by the run's seed and its name. So the draw depends neither on the order
in which modules are built nor on what else was drawn, and the standard parametrisation at a width equals muP whose base
is that width, bit for bit.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from datascaler.errors import ConfigError
from datascaler.models.init_rules import InitRule
from datascaler.models.roles import ParamRole


@torch.no_grad()
def initialise(model: nn.Module, table: Mapping[str, ParamRole], seed: int) -> None:
    """Overwrite every parameter of an unwrapped model; ConfigError if table and model don't name the same tensors."""
    check_names(model, table)
    for name, parameter in model.named_parameters():
        parameter.copy_(draw_tensor(table[name].init, parameter.shape, name, seed))


def draw_tensor(rule: InitRule, shape: Sequence[int], name: str, seed: int) -> Tensor:
    """The initial float32 tensor `name` of a run with `seed`."""
    tensor = torch.empty(shape)
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    if rule.distribution == "normal":
        return tensor.normal_(rule.value, rule.std, generator=generator)
    if rule.distribution == "uniform":
        bound = math.sqrt(3) * rule.std
        return tensor.uniform_(rule.value - bound, rule.value + bound, generator=generator)
    return tensor.fill_(rule.value)


def check_names(model: nn.Module, table: Mapping[str, ParamRole]) -> None:
    """Refuse a model whose parameter names are not exactly the table's, such as a wrapped one (`module.`)."""
    names = {name for name, _ in model.named_parameters()}
    for name in sorted(names ^ table.keys()):
        where = "the model but not the role table" if name in names else "the role table but not the model"
        raise ConfigError(f"tensor {name!r} is in {where}; pass the unwrapped model the table was made for")
