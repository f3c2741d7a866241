"""muP's role of every tensor of a CLIP, as a plain table that drives init, optimizer groups and checks.

`mup` (the package of the paper's authors) says which dimensions grow with width, by comparing two empty models. After
that nothing depends on it: what it writes on parameters is lost by deepcopy, FSDP and `load_state_dict(assign=True)`.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from typing import Any, Literal

import mup

from datascaler.models.arch import meta_clip, reference_config
from datascaler.models.init_rules import InitRule, init_rule
from datascaler.models.width import scaled_config
from datascaler.spec.train import LossName

Role = Literal["input", "hidden", "vector", "scalar"]
ROLES: tuple[Role, ...] = ("input", "hidden", "vector", "scalar")

# Bare parameters used as x @ P, so in (in, out) order; mup takes the last infinite dimension for the fan-in.
_FAN_IN_FIRST = ("visual.proj", "text_projection")
_NO_DECAY_WORDS = ("bn", "ln", "bias", "logit_scale")


@dataclass(frozen=True, slots=True)
class ParamRole:
    """What muP asks of one tensor. The scales multiply the run's learning rate, weight decay and eps."""

    name: str
    role: Role
    ratio: float
    """Width over base width; 1 for a tensor without a width."""
    fan_in_dim: int | None
    """The dimension that is summed over, for hidden matrices."""
    init: InitRule
    lr_scale: float
    wd_scale: float
    eps_scale: float
    decay: bool
    """open_clip's rule: at least two dimensions, and no norm, bias or logit scale by name."""


def role_table(
    arch: str, width_mult: Fraction, base_width_mult: Fraction, loss: LossName = "clip"
) -> dict[str, ParamRole]:
    """The table of `arch` at `width_mult`, in the order of the model's parameters.

    `base_width_mult` is where muP and the standard parametrisation coincide; the two may be equal (that *is* the
    standard parametrisation), and the base may also be the wider one. Raises ConfigError for an illegal width, an
    unsupported architecture and a tensor without a known role.
    """
    reference = reference_config(arch, loss)
    base_config = scaled_config(reference, base_width_mult)
    target = _with_infinite_shapes(
        scaled_config(reference, width_mult), base_config, scaled_config(reference, 2 * base_width_mult)
    )
    ratio = width_mult / base_width_mult
    return {
        name: _param_role(name, parameter.infshape, float(ratio), init_rule(name, base_config))
        for name, parameter in target.items()
    }


def table_to_json(table: Mapping[str, ParamRole]) -> str:
    """The table as indented JSON, an object of objects by tensor name; equal tables give equal text."""
    return json.dumps({name: asdict(role) for name, role in table.items()}, indent=1)


def table_hash(table: Mapping[str, ParamRole]) -> str:
    """sha256 (hex) over `table_to_json`: what a checkpoint keeps to refuse a resume under another parametrisation."""
    return hashlib.sha256(table_to_json(table).encode()).hexdigest()


def _with_infinite_shapes(config: dict[str, Any], base: dict[str, Any], delta: dict[str, Any]) -> dict[str, Any]:
    """Name -> meta parameter carrying mup's `infshape`."""
    target = meta_clip(config)
    mup.set_base_shapes(
        target, mup.make_base_shapes(meta_clip(base), meta_clip(delta)), rescale_params=False, do_assert=False
    )
    parameters = dict(target.named_parameters())
    for name in _FAN_IN_FIRST:
        shape = parameters[name].infshape  # type: ignore[attr-defined]
        shape.main_idx, shape.main = 0, shape[0]
    return parameters


def _param_role(name: str, infshape: Any, ratio: float, init: InitRule) -> ParamRole:
    infinite = [index for index, dim in enumerate(infshape) if dim.isinf()]
    assert all(infshape[index].width_mult() == ratio for index in infinite), f"{name}: widths scaled unequally"
    decay = len(infshape) >= 2 and not any(word in name for word in _NO_DECAY_WORDS)
    plain = ParamRole(
        name=name,
        role="scalar",
        ratio=ratio if infinite else 1.0,
        fan_in_dim=None,
        init=init,
        lr_scale=1.0,
        wd_scale=1.0,
        eps_scale=1.0,
        decay=decay,
    )
    if not infinite:
        return plain
    # An Adam step is independent of the gradient's size only while eps is small against it. The gradient of a feature's
    # coordinate is 1/width, since cosines average over them, and so is that of every tensor that has a width: hidden,
    # input and vector alike. eps follows (arXiv 2407.05872), and the step is the same at all widths.
    plain = replace(plain, eps_scale=1 / ratio)
    if len(infinite) == 1:
        # A matrix from infinite to finite would be an output layer; with embed_dim scaled there is none.
        assert len(infshape) == 1 or name not in _FAN_IN_FIRST, f"{name}: unexpected output layer"
        return replace(plain, role="input" if len(infshape) > 1 or name.endswith("class_embedding") else "vector")
    # Adam, arXiv 2203.03466 table 8: init std ~ 1/sqrt(fan_in) and learning rate ~ 1/fan_in. Decay is lr * wd in
    # torch, kept constant by wd * r (arXiv 2405.13698, 2510.19093).
    assert len(infinite) == 2, f"{name}: more than two infinite dimensions"
    return replace(
        plain,
        role="hidden",
        fan_in_dim=infshape.main_idx,
        init=replace(init, std=init.std * ratio**-0.5),
        lr_scale=1 / ratio,
        wd_scale=ratio,
    )
