"""Scaled configs, and illegal multipliers with their nearest legal ones."""

from fractions import Fraction

import open_clip
import pytest

from datascaler.errors import ConfigError
from datascaler.models.arch import head_dims, meta_clip, mlp_widths, reference_config
from datascaler.models.build import build_clip
from datascaler.models.width import check_base_width, check_width, nearest_legal_widths, scaled_config


def test_reference_is_open_clips_config() -> None:
    assert reference_config("ViT-B-32") == open_clip.get_model_config("ViT-B-32")
    reference_config("ViT-B-32")["vision_cfg"]["width"] = 1
    assert reference_config("ViT-B-32")["vision_cfg"]["width"] == 768


def test_own_architecture_is_known_to_open_clip() -> None:
    assert head_dims(reference_config("ViT-Mini-8-48")) == (16, 16)
    assert open_clip.get_tokenizer("ViT-Mini-8-48")(["a cat"]).shape == (1, 16)


def test_unknown_name_gets_close_matches() -> None:
    with pytest.raises(ConfigError, match=r"unknown architecture 'ViT-B32'; did you mean .*ViT-B-32"):
        reference_config("ViT-B32")


@pytest.mark.parametrize(
    ("arch", "reason"),
    [
        ("RN50", "ResNet"),
        ("coca_ViT-B-32", "multimodal_cfg"),
        ("convnext_base", "timm_model_name"),
        ("roberta-ViT-B-32", "hf_model_name"),
        ("ViT-B-16-SigLIP", "custom_text"),
        ("ViT-L-14-CLIPA", "no_causal_mask"),
    ],
)
def test_unsupported_architectures_are_refused_by_name(arch: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=rf"architecture {arch} .*{reason}"):
        reference_config(arch)


def test_every_supported_architecture_has_an_exact_grid() -> None:
    """Twice a legal width is legal, and open_clip's own floors give exactly the scaled MLP and head widths."""
    supported = []
    for arch in open_clip.list_models():
        try:
            reference = reference_config(arch)
        except ConfigError:
            continue
        supported.append(arch)
        smallest = nearest_legal_widths(reference, Fraction(1, 10_000))[0]
        for multiplier in (smallest, 3 * smallest, Fraction(1), Fraction(2)):
            config = scaled_config(reference, multiplier)
            scaled = (*head_dims(config), *mlp_widths(config), config["embed_dim"])
            exact = (*head_dims(reference), *mlp_widths(reference), reference["embed_dim"])
            assert scaled == tuple(width * multiplier for width in exact), arch
    assert {"ViT-B-32", "ViT-B-16", "ViT-L-14", "ViT-H-14", "ViT-g-14", "ViT-bigG-14"} <= set(supported)


def test_scaling_by_one_changes_nothing_but_spells_out_head_width() -> None:
    reference = reference_config("ViT-B-32")
    scaled = scaled_config(reference, Fraction(1))
    assert scaled["vision_cfg"].pop("head_width") == 64
    assert scaled == reference


def test_three_sixteenths_of_vit_b_32() -> None:
    config = scaled_config(reference_config("ViT-B-32"), Fraction(3, 16))
    assert (config["vision_cfg"]["width"], config["text_cfg"]["width"], config["embed_dim"]) == (144, 96, 96)
    assert (config["vision_cfg"]["head_width"], config["text_cfg"]["heads"]) == (12, 8)


@pytest.mark.parametrize(
    ("multiplier", "millions"), [("1", "151.28"), ("3/16", "9.57"), ("1/4", "14.7"), ("3/8", "27.8"), ("1/2", "44.8")]
)
def test_parameter_counts_of_vit_b_32(multiplier: str, millions: str) -> None:
    model = meta_clip(scaled_config(reference_config("ViT-B-32"), Fraction(multiplier)))
    count = sum(parameter.numel() for parameter in model.parameters())
    decimals = len(millions.partition(".")[2])
    assert f"{count / 1e6:.{decimals}f}" == millions


def test_uneven_mlp_ratio_keeps_the_mlp_exact() -> None:
    """1408 * 4.3637 is 6144.09: the floors at other widths must not drift from 6144 * m."""
    reference = reference_config("ViT-g-14")
    for eighths in range(1, 65):
        config = scaled_config(reference, Fraction(eighths, 8))
        assert mlp_widths(config) == (768 * eighths, 512 * eighths)


def test_mlp_does_not_follow_open_clips_floor() -> None:
    """96 * 4.009 is 384.86, so 384; twice as wide open_clip would take 769."""
    reference = reference_config("ViT-Mini-8-48")
    reference["vision_cfg"]["mlp_ratio"] = 4.009
    config = scaled_config(reference, Fraction(2))
    weight = meta_clip(config).state_dict()["visual.transformer.resblocks.0.mlp.c_fc.weight"]
    assert weight.shape == (768, 192)


@pytest.mark.parametrize(
    ("arch", "multiplier", "nearest"),
    [
        ("ViT-B-32", "0.2", ["0.1875", "0.203125"]),
        ("ViT-g-14", "3/16", ["0.125", "0.25"]),
        ("ViT-bigG-14", "3/16", ["0.125", "0.25"]),
        ("ViT-B-32", "1/3", ["0.328125", "0.34375"]),
        ("ViT-B-32", "1/1000", ["0.015625"]),
        ("ViT-B-32", "0", ["0.015625"]),
        ("ViT-B-32", "-1", ["0.015625"]),
    ],
)
def test_illegal_multipliers_name_the_nearest_legal(arch: str, multiplier: str, nearest: list[str]) -> None:
    reference = reference_config(arch)
    assert nearest_legal_widths(reference, Fraction(multiplier)) == tuple(Fraction(text) for text in nearest)
    shown = multiplier if multiplier == "1/3" else str(float(Fraction(multiplier)))
    with pytest.raises(ConfigError, match=rf"{shown} gives .*nearest legal: {' and '.join(nearest)} "):
        check_width(reference, Fraction(multiplier))
    with pytest.raises(ConfigError, match="nearest legal"):
        build_clip(arch, width_mult=Fraction(multiplier))


def test_minimum_width_must_be_legal_and_at_most_the_width() -> None:
    reference = reference_config("ViT-B-32")
    check_base_width(reference, Fraction(1), Fraction(1))
    with pytest.raises(ConfigError, match=r"at most the width multiplier 0\.5, got 1\.0"):
        check_base_width(reference, Fraction(1, 2), Fraction(1))
    with pytest.raises(ConfigError, match=r"minimum width multiplier 0\.2 .*0\.1875 and 0\.203125"):
        check_base_width(reference, Fraction(1), Fraction(1, 5))
    with pytest.raises(ConfigError, match="at most the width multiplier"):
        build_clip("ViT-B-32", width_mult=Fraction(1, 2), use_mup=True)
