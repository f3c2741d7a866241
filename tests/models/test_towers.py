"""Models of every kind of tower that open_clip builds give open_clip's own features."""

import json
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from PIL import Image

from datascaler.models.load import load_clip

TEXT: dict[str, Any] = {"context_length": 12, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
VIT: dict[str, Any] = {"layers": 1, "width": 32, "head_width": 16, "patch_size": 16, "image_size": 32}
TIMM: dict[str, Any] = {"timm_model_name": "test_vit", "image_size": 160}
CONFIGS: dict[str, dict[str, Any]] = {
    "ResNet": {"vision_cfg": {"layers": [1, 1, 1, 1], "width": 8, "head_width": 16, "image_size": 32}},
    "timm": {"vision_cfg": TIMM | {"timm_pool": "token", "timm_proj": "linear"}},
    "timm, of convolutions": {
        "vision_cfg": {"timm_model_name": "test_resnet", "timm_pool": "avg", "timm_proj": "linear", "image_size": 32}
    },
    "SigLIP": {
        "init_logit_bias": -10,
        "custom_text": True,
        "vision_cfg": TIMM | {"timm_pool": "map", "timm_proj": "none"},
        "text_cfg": TEXT
        | {"width": 64, "no_causal_mask": True, "proj_bias": True, "pool_type": "last"}
        | {"norm_kwargs": {"eps": 1e-6}},
        "embed_dim": 64,
    },
    "CoCa": {
        "custom_text": True,
        "vision_cfg": VIT | {"attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True},
        "text_cfg": TEXT | {"embed_cls": True, "output_tokens": True},
        "multimodal_cfg": {**TEXT, "attn_pooler_heads": 2},
    },
}


@pytest.mark.parametrize("kind", CONFIGS)
def test_features_equal_open_clips(kind: str, tmp_path: Path) -> None:
    config: dict[str, Any] = {"embed_dim": 32, "vision_cfg": VIT, "text_cfg": TEXT} | CONFIGS[kind]
    settings = {"model_cfg": config, "preprocess_cfg": {"mean": [0.5] * 3, "size": config["vision_cfg"]["image_size"]}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(settings))
    name = f"local-dir:{tmp_path}"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = open_clip.create_model(name, load_weights=False).state_dict()
    # A projection of CoCa's decoder is memory that nobody set.
    finite = {tensor: torch.nan_to_num(value, 0.0, 1.0, -1.0) for tensor, value in made.items()}
    torch.save(finite, tmp_path / "open_clip_pytorch_model.bin")
    theirs, preprocess = open_clip.create_model_from_pretrained(name)
    ours = load_clip(name)
    images = torch.stack([preprocess(Image.effect_noise((40, 50), 60 + each).convert("RGB")) for each in range(3)])
    texts = ["a red circle", "two dogs", "a"]
    with torch.inference_mode():
        assert torch.equal(ours.tokenize(texts), open_clip.get_tokenizer(name)(texts))
        for encode, batch in (("encode_image", images), ("encode_text", ours.tokenize(texts))):
            expected = getattr(theirs.eval(), encode)(batch)
            assert len(expected.unique(dim=0)) == 3
            torch.testing.assert_close(getattr(ours.model, encode)(batch), expected)
