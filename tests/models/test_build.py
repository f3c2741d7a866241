"""Built models against stock open_clip, in both parametrisations."""

import copy
from fractions import Fraction
from pathlib import Path

import open_clip
import pytest
import torch

from datascaler.models.arch import meta_clip, reference_config
from datascaler.models.attention import ScaledAttention, fold_attention_scale
from datascaler.models.build import BuiltClip, build_clip
from datascaler.models.optimizer import build_optimizer
from tests.models.clips import ARCH, contrastive_loss, features, small_batch


def attention_modules(built: BuiltClip) -> list[ScaledAttention]:
    return [module for module in built.model.modules() if isinstance(module, ScaledAttention)]


@pytest.mark.parametrize("width", [Fraction(1, 2), Fraction(1), Fraction(2)])
def test_mup_at_its_base_is_the_standard_parametrisation(width: Fraction) -> None:
    """Same weights, outputs, loss and gradients, bit for bit, though one has stock blocks and the other ours."""
    standard = build_clip(ARCH, width_mult=width, seed=5)
    mup = build_clip(ARCH, width_mult=width, min_width_mult=width, use_mup=True, seed=5)
    assert standard.table == mup.table
    assert not attention_modules(standard)
    assert len(attention_modules(mup)) == 5
    assert torch.equal(features(standard.model), features(mup.model))
    expected = dict(standard.model.named_parameters())
    got = dict(mup.model.named_parameters())
    assert expected.keys() == got.keys()
    for built in (standard, mup):
        torch.autograd.backward(contrastive_loss(built.model))
    for name, parameter in expected.items():
        assert torch.equal(parameter, got[name]), name
        assert parameter.grad is not None
        other = got[name].grad
        assert other is not None
        assert torch.equal(parameter.grad, other), name


def test_base_defaults_to_the_reference_width() -> None:
    built = build_clip(ARCH, width_mult=Fraction(2), use_mup=True)
    assert (built.base_width_mult, built.ratio) == (Fraction(1), 2.0)
    assert build_clip(ARCH, width_mult=Fraction(2), min_width_mult=Fraction(1, 2)).ratio == 1.0


def test_changing_the_base_alone_changes_attention() -> None:
    quarter, half = (build_clip(ARCH, min_width_mult=Fraction(1, denominator), use_mup=True) for denominator in (4, 2))
    assert {module.scale for module in attention_modules(quarter)} == {4**0.5 / 16}
    assert [module.scale for module in attention_modules(half)] == pytest.approx([8**0.5 / 16] * 5)
    assert not torch.allclose(features(quarter.model), features(half.model), atol=1e-3)


@pytest.mark.parametrize("use_mup", [False, True])
def test_text_is_causal(use_mup: bool) -> None:
    built = build_clip(ARCH, min_width_mult=Fraction(1, 2), use_mup=use_mup)
    assert torch.equal(built.model.attn_mask, open_clip.CLIP(**built.config).attn_mask)  # type: ignore[arg-type]
    _, tokens = small_batch()
    changed = tokens.clone()
    changed[:, 10:] = 7
    encode = built.model.encode_text
    assert torch.equal(encode(tokens), encode(changed))  # type: ignore[operator]


def test_gradient_checkpointing_gives_the_same_gradients() -> None:
    gradients = []
    for checkpointing in (False, True):
        model = build_clip(ARCH, min_width_mult=Fraction(1, 4), use_mup=True).model
        model.set_grad_checkpointing(checkpointing)  # type: ignore[operator]
        gradients.append(torch.autograd.grad(contrastive_loss(model), list(model.parameters())))
    for expected, got in zip(*gradients, strict=True):
        assert torch.equal(expected, got)


def test_standard_weights_load_into_stock_open_clip(tmp_path: Path) -> None:
    built = build_clip(ARCH, seed=1)
    path = tmp_path / "weights.pt"
    torch.save({"state_dict": built.model.state_dict()}, path)
    stock, _, _ = open_clip.create_model_and_transforms(ARCH, pretrained=str(path))
    assert type(built.model) is type(stock) is open_clip.CLIP
    with torch.no_grad():
        torch.testing.assert_close(features(built.model), features(stock), atol=1e-5, rtol=0)


def test_weights_of_vit_b_32_have_stock_names_and_shapes() -> None:
    model = build_clip("ViT-B-32", width_mult=Fraction(3, 16)).model
    assert sum(parameter.numel() for parameter in model.parameters()) == 9_574_609
    stock = meta_clip(reference_config("ViT-B-32")).state_dict()
    assert list(model.state_dict()) == list(stock)
    assert sum(value.numel() for value in stock.values()) == 151_277_313


def test_folded_mup_weights_give_equal_features_in_a_stock_model() -> None:
    built = build_clip(ARCH, width_mult=Fraction(2), min_width_mult=Fraction(1, 4), use_mup=True, seed=2)
    stock = open_clip.CLIP(**built.config)
    with torch.no_grad():
        for name, parameter in built.model.named_parameters():
            # Attention of a fresh model is nearly flat; sharpen it so that its factor shows.
            if name.endswith("in_proj_weight"):
                parameter.mul_(3)
            elif name.endswith("in_proj_bias"):
                parameter.normal_(generator=torch.Generator().manual_seed(0))
        expected = features(built.model)
        stock.load_state_dict(built.model.state_dict())
        assert not torch.allclose(features(stock), expected, atol=1e-2)
        stock.load_state_dict(fold_attention_scale(built.model.state_dict(), built.ratio))
        torch.testing.assert_close(features(stock), expected, atol=1e-4, rtol=1e-4)


def test_nothing_mup_needs_hangs_on_the_parameters() -> None:
    """mup's own attributes are lost by deepcopy and by assigning weights; a model here survives both."""
    built = build_clip(ARCH, min_width_mult=Fraction(1, 4), use_mup=True)
    expected = features(built.model)
    copied = copy.deepcopy(built.model)
    copied.load_state_dict({name: value.clone() for name, value in copied.state_dict().items()}, assign=True)
    assert torch.equal(features(copied), expected)
    assert len(build_optimizer(copied, built.table, lr=1e-3, weight_decay=0.2).param_groups) == 4
    assert not any(hasattr(parameter, "infshape") for parameter in built.model.parameters())
