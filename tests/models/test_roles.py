"""The role table against section 1.3 of the muP brief, written out here by hand, and against mup's own optimizer."""

import ast
import dataclasses
import json
import sys
from fractions import Fraction
from pathlib import Path

import mup
import open_clip
import pytest
import torch

from datascaler.errors import ConfigError
from datascaler.models.arch import meta_clip, reference_config
from datascaler.models.init_rules import init_rule
from datascaler.models.roles import ParamRole, role_table, table_hash, table_to_json
from datascaler.models.width import scaled_config

BASE, FULL = Fraction(3, 16), Fraction(1)
R = 16 / 3

# name: (role, dimension summed over, decays)
HIDDEN, HIDDEN_TRANSPOSED = ("hidden", 1, True), ("hidden", 0, True)
INPUT, VECTOR = ("input", None, True), ("vector", None, False)
BLOCK = {
    "ln_1.weight": VECTOR,
    "ln_1.bias": VECTOR,
    "attn.in_proj_weight": HIDDEN,
    "attn.in_proj_bias": VECTOR,
    "attn.out_proj.weight": HIDDEN,
    "attn.out_proj.bias": VECTOR,
    "ln_2.weight": VECTOR,
    "ln_2.bias": VECTOR,
    "mlp.c_fc.weight": HIDDEN,
    "mlp.c_fc.bias": VECTOR,
    "mlp.c_proj.weight": HIDDEN,
    "mlp.c_proj.bias": VECTOR,
}
EXPECTED = {
    "positional_embedding": INPUT,
    "text_projection": HIDDEN_TRANSPOSED,
    "logit_scale": ("scalar", None, False),
    "visual.class_embedding": ("input", None, False),
    "visual.positional_embedding": INPUT,
    "visual.proj": HIDDEN_TRANSPOSED,
    "visual.conv1.weight": INPUT,
    "visual.ln_pre.weight": VECTOR,
    "visual.ln_pre.bias": VECTOR,
    "visual.ln_post.weight": VECTOR,
    "visual.ln_post.bias": VECTOR,
    "token_embedding.weight": INPUT,
    "ln_final.weight": VECTOR,
    "ln_final.bias": VECTOR,
    **{
        f"{tower}transformer.resblocks.{block}.{name}": role
        for tower in ("", "visual.")
        for block in range(12)
        for name, role in BLOCK.items()
    },
}


@pytest.fixture(scope="module")
def table() -> dict[str, ParamRole]:
    return role_table("ViT-B-32", FULL, BASE)


def test_all_roles_of_vit_b_32(table: dict[str, ParamRole]) -> None:
    assert {name: (row.role, row.fan_in_dim, row.decay) for name, row in table.items()} == EXPECTED
    for name, row in table.items():
        assert row.name == name
        assert row.ratio == pytest.approx(1 if row.role == "scalar" else R)
        r = R if row.role == "hidden" else 1
        assert (row.lr_scale, row.wd_scale) == pytest.approx((1 / r, r))
        assert row.eps_scale == pytest.approx(1 / row.ratio)


@pytest.mark.parametrize("full", [FULL, BASE, 2 * BASE, BASE / 3], ids=["full", "base", "delta", "narrower"])
def test_infinite_dimensions_are_those_that_scale(full: Fraction) -> None:
    """Also where the target's shapes equal the base's or the delta's, which would fool a comparison of two models."""
    reference = reference_config("ViT-B-32")
    narrow, wide = (
        dict(meta_clip(scaled_config(reference, width)).named_parameters()) for width in (Fraction(1, 8), Fraction(3))
    )
    table = role_table("ViT-B-32", full, BASE)
    assert list(table) == list(wide)
    for name, row in table.items():
        grown = [b / a for a, b in zip(narrow[name].shape, wide[name].shape, strict=True)]
        assert set(grown) <= {1.0, 24.0}
        infinite = grown.count(24.0)
        assert (infinite == 2, infinite == 0) == (row.role == "hidden", row.role == "scalar")
        assert row.fan_in_dim is None or grown[row.fan_in_dim] == 24.0


def test_init_stds_are_the_bases_with_hidden_ones_scaled(table: dict[str, ParamRole]) -> None:
    """Spot values computed by hand for 144/96/96 -> 768/512/512."""
    expected = {
        "visual.positional_embedding": 144**-0.5,
        "visual.class_embedding": 144**-0.5,
        "visual.conv1.weight": (3 * 3 * 32 * 32) ** -0.5,
        "visual.proj": 768**-0.5,
        "text_projection": 512**-0.5,
        "token_embedding.weight": 0.02,
        "positional_embedding": 0.01,
        "visual.transformer.resblocks.3.attn.in_proj_weight": (2 * 768) ** -0.5,
        "visual.transformer.resblocks.3.mlp.c_proj.weight": (3 * 4 * 768) ** -0.5,
        "visual.transformer.resblocks.3.mlp.c_proj.bias": (3 * 4 * 144) ** -0.5,
        "transformer.resblocks.3.attn.out_proj.weight": (512 * 24) ** -0.5,
        "transformer.resblocks.3.mlp.c_fc.weight": (2 * 512) ** -0.5,
        "transformer.resblocks.3.mlp.c_fc.bias": (3 * 96) ** -0.5,
    }
    assert {name: table[name].init.std for name in expected} == pytest.approx(expected)
    assert table["logit_scale"].init.value == pytest.approx(2.6592600369)


def test_learning_rates_and_decay_equal_mups_own_optimizer(table: dict[str, ParamRole]) -> None:
    reference = reference_config("ViT-B-32")
    target = meta_clip(scaled_config(reference, FULL))
    mup.set_base_shapes(
        target,
        mup.make_base_shapes(
            meta_clip(scaled_config(reference, BASE)), meta_clip(scaled_config(reference, Fraction(1, 2)))
        ),
        rescale_params=False,
        do_assert=False,
    )
    names = {id(parameter): name for name, parameter in target.named_parameters()}
    groups = [
        {"params": [parameter for name, parameter in target.named_parameters() if table[name].decay is decay], **extra}
        for decay, extra in ((True, {"weight_decay": 0.2}), (False, {"weight_decay": 0.0}))
    ]
    theirs = {
        names[id(parameter)]: (group["lr"], group["weight_decay"])
        for group in mup.MuAdamW(groups, lr=1e-3).param_groups
        for parameter in group["params"]
    }
    assert theirs.keys() == table.keys()
    for name, row in table.items():
        ours = (1e-3 * row.lr_scale, 0.2 * row.wd_scale if row.decay else 0.0)
        assert ours == pytest.approx(theirs[name]), name


def test_no_decay_is_open_clips_rule(table: dict[str, ParamRole]) -> None:
    """The rule as open_clip_train applies it, on its own model."""
    with torch.device("meta"):
        model = open_clip.CLIP(**open_clip.get_model_config("ViT-B-32"))
    for name, parameter in model.named_parameters():
        excluded = parameter.ndim < 2 or "bn" in name or "ln" in name or "bias" in name or "logit_scale" in name
        assert table[name].decay is not excluded


def test_at_the_base_nothing_is_scaled() -> None:
    for row in role_table("ViT-B-32", BASE, BASE).values():
        assert (row.ratio, row.lr_scale, row.wd_scale, row.eps_scale) == (1.0, 1.0, 1.0, 1.0)


def test_changing_the_base_alone(table: dict[str, ParamRole]) -> None:
    """Hidden learning rates and vector-like stds move with the base; hidden stds and embeddings by constant don't."""
    other = role_table("ViT-B-32", FULL, Fraction(3, 8))
    assert (table["visual.proj"].lr_scale, other["visual.proj"].lr_scale) == (3 / 16, 3 / 8)
    for name, row in table.items():
        if row.role == "hidden":
            assert row.init.std == pytest.approx(other[name].init.std)
        else:
            assert row.lr_scale == other[name].lr_scale == 1.0
    position = "visual.positional_embedding"
    assert table[position].init.std == pytest.approx(other[position].init.std * 2**0.5)


def test_layer_scale_is_a_vector() -> None:
    table = role_table("ViT-M-16-alt", Fraction(1), Fraction(1, 2))
    row = table["visual.transformer.resblocks.0.ls_1.gamma"]
    assert (row.role, row.decay, row.init.value) == ("vector", False, 1e-4)


def test_unknown_tensors_are_refused() -> None:
    config = reference_config("ViT-B-32")
    for name in ("visual.attn_pool.query", "transformer.resblocks.0.attn.ln_q.weight", "text.logit_scale", "ln_final"):
        with pytest.raises(ConfigError, match="no known initialisation"):
            init_rule(name, config)


def test_json_and_hash_tell_tables_apart(table: dict[str, ParamRole]) -> None:
    read = json.loads(table_to_json(table))
    assert read["visual.proj"] == dataclasses.asdict(table["visual.proj"])
    assert table_hash(table) == table_hash(role_table("ViT-B-32", FULL, BASE))
    assert table_hash(table) != table_hash(role_table("ViT-B-32", FULL, Fraction(3, 8)))


def test_mups_plotting_libraries_are_not_loaded() -> None:
    """It asks for pandas and seaborn (pyproject.toml); of what is loaded of it no module imports them."""
    loaded = [module for name, module in sys.modules.items() if name.partition(".")[0] == "mup"]
    imported = {
        alias.name if isinstance(node, ast.Import) else str(node.module)
        for module in loaded
        for node in ast.walk(ast.parse(Path(str(module.__file__)).read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert "mup.shape" in imported
    assert not {name.partition(".")[0] for name in imported} & {"pandas", "seaborn", "matplotlib"}
