"""AdamW with muP's groups: hidden matrices get lr/r and wd*r, every tensor that has a width gets eps/r.

The schedule must set learning rates with `set_learning_rate`; one that writes the same rate into all groups would
undo muP at step 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from datascaler.errors import ConfigError
from datascaler.models.init import check_names
from datascaler.models.roles import ROLES, ParamRole
from datascaler.tools.foreign_warnings import refuse_wrong_results


@dataclass(frozen=True, slots=True)
class GroupSummary:
    """What must not change between a save and a resume."""

    name: str
    lr_scale: float
    weight_decay: float
    eps: float
    shapes: tuple[tuple[int, ...], ...]


def build_optimizer(
    model: nn.Module,
    table: Mapping[str, ParamRole],
    *,
    lr: float,
    weight_decay: float,
    betas: tuple[float, float] = (0.9, 0.98),
    eps: float = 1e-6,
) -> torch.optim.AdamW:
    """AdamW over the trainable parameters of the unwrapped `model`, one group for all that are treated alike.

    Each group carries `name` (its roles, and whether it decays) and `lr_scale`. The defaults of betas and eps are
    open_clip's for ViT; eps is that of the base width, as the learning rate is.
    """
    check_names(model, table)
    members: dict[tuple[float, bool, float], list[tuple[ParamRole, nn.Parameter]]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            row = table[name]
            members.setdefault((row.lr_scale, row.decay, row.eps_scale), []).append((row, parameter))
    groups: list[dict[str, Any]] = []
    for key in sorted(members, reverse=True):
        lr_scale, decay, eps_scale = key
        rows, parameters = zip(*members[key], strict=True)
        roles = "+".join(role for role in ROLES if any(row.role == role for row in rows))
        groups.append(
            {
                "name": f"{roles}/{'decay' if decay else 'no_decay'}",
                "params": list(parameters),
                "lr": lr * lr_scale,
                "lr_scale": lr_scale,
                "weight_decay": weight_decay * rows[0].wd_scale if decay else 0.0,
                "eps": eps * eps_scale,
            }
        )
    # One kernel for all tensors of a group: five times faster than the default on a CPU, where narrow models train.
    fused = all(parameter.device.type in ("cpu", "cuda") for parameter in model.parameters())
    with refuse_wrong_results("no optimizer for this model"):
        return torch.optim.AdamW(groups, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, fused=fused)


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the run's learning rate; each group gets it times its own scale."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]


def summarise_groups(optimizer: torch.optim.Optimizer) -> tuple[GroupSummary, ...]:
    """The groups of a freshly built optimizer, to hold a loaded state against."""
    return tuple(
        GroupSummary(
            name=group.get("name", "unnamed"),
            lr_scale=group.get("lr_scale", 1.0),
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            shapes=tuple(tuple(parameter.shape) for parameter in group["params"]),
        )
        for group in optimizer.param_groups
    )


def check_groups(optimizer: torch.optim.Optimizer, expected: Sequence[GroupSummary]) -> None:
    """Refuse groups that differ from `expected`: `load_state_dict` takes scales and decay from the file, silently."""
    found = summarise_groups(optimizer)
    if len(found) != len(expected):
        raise ConfigError(f"the optimizer has {len(found)} groups where this run has {len(expected)}; {_REMEDY}")
    for ours, theirs in zip(expected, found, strict=True):
        for field in ("name", "lr_scale", "weight_decay", "eps", "shapes"):
            wanted, got = getattr(ours, field), getattr(theirs, field)
            if wanted != got:
                raise ConfigError(
                    f"optimizer group {ours.name} has {field} {got} where this run has {wanted}; {_REMEDY}"
                )


def load_optimizer_state(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """`load_state_dict`, with the groups checked afterwards; ConfigError for the state of another parametrisation."""
    expected = summarise_groups(optimizer)
    try:
        optimizer.load_state_dict(state)
    except ValueError as error:
        raise ConfigError(f"the checkpoint's optimizer groups don't fit this model ({error}); {_REMEDY}") from error
    check_groups(optimizer, expected)
    for parameter, slots in optimizer.state.items():
        if slots["exp_avg"].shape != parameter.shape:
            shapes = f"{list(slots['exp_avg'].shape)} where this model has {list(parameter.shape)}"
            raise ConfigError(f"the checkpoint's optimizer state has shape {shapes}; {_REMEDY}")


_REMEDY = "resume with the arch, width multipliers, parametrisation and weight decay that the run was started with"
