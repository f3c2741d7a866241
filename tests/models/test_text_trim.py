"""Captions cut after their end token: the features of open_clip's own encoder, for towers of every kind."""

from typing import Any

import open_clip
import pytest
import torch
from torch import Tensor
from torch.profiler import profile

from datascaler.models.arch import reference_config
from datascaler.models.attention import replace_attention
from datascaler.models.text_trim import encode_by_length, text_tower, token_passes

CONTEXT = 24
VISION = {"layers": 1, "width": 32, "head_width": 16, "patch_size": 16, "image_size": 32}
TEXT = {"context_length": CONTEXT, "vocab_size": 500, "width": 32, "heads": 2, "layers": 3}
END = 499


def model_of(custom: bool = False, **text: Any) -> torch.nn.Module:
    torch.manual_seed(0)
    cls = open_clip.CustomTextCLIP if custom else open_clip.CLIP
    model: torch.nn.Module = cls(embed_dim=32, vision_cfg=VISION, text_cfg=TEXT | text)
    return model.eval()


def captions(count: int) -> Tensor:
    """Of all lengths, in any order; the longest fills the context."""
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(1, END, (count, CONTEXT), generator=generator)
    for row, end in zip(tokens, torch.randint(1, CONTEXT, (count,), generator=generator).tolist(), strict=True):
        row[end] = END
        row[end + 1 :] = 0
    tokens[count // 2, :] = 7
    tokens[count // 2, -1] = END
    return tokens


def assert_equal_features(model: torch.nn.Module, tokens: Tensor, **how: Any) -> None:
    tower = text_tower(model)
    assert tower is not None
    with torch.inference_mode():
        stock = torch.nn.functional.normalize(model.encode_text(tokens), dim=-1)  # type: ignore[operator]
        ours = torch.nn.functional.normalize(encode_by_length(tower, tokens, **how), dim=-1)
    assert float((ours - stock).abs().max()) < 3e-6


@pytest.mark.parametrize("how", [{"pass_tokens": 0}, {"pass_tokens": 40, "multiple": 8}, {"pass_tokens": 10**6}])
@pytest.mark.parametrize(
    ("custom", "text"),
    [
        (False, {}),
        (True, {}),
        (False, {"pool_type": "eos", "eos_id": END}),
        (True, {"pool_type": "eos", "eos_id": END, "proj_bias": True}),
        (True, {"proj_type": "none"}),
        (False, {"ls_init_value": 0.1, "act_kwargs": {"approximate": "tanh"}}),
    ],
)
def test_features_are_those_of_the_stock_encoder(custom: bool, text: dict[str, Any], how: dict[str, int]) -> None:
    assert_equal_features(model_of(custom, **text), captions(50), **how)


def test_with_the_scaled_attention_of_mup() -> None:
    model = model_of()
    replace_attention(model, base_vision_head_dim=4, base_text_head_dim=4)
    assert_equal_features(model, captions(50), pass_tokens=16)


def test_a_real_architecture() -> None:
    config = reference_config("ViT-Mini-8-48")
    torch.manual_seed(0)
    model = open_clip.CLIP(**config).eval()
    tokenizer = open_clip.get_tokenizer("ViT-Mini-8-48")
    assert_equal_features(
        model, tokenizer(["", "a cat", "a photo of " + "very " * 99 + "old houses", "x " * 9]), pass_tokens=16
    )


def test_gradients_are_those_of_the_stock_encoder_and_the_table_has_its_own_once() -> None:
    """The table's gradient is as large as the table, however few words a caption has. In float64, for sums of float32
    differ by as much as the gradients' small values from one kind of processor to another.
    """
    model, tokens = model_of().double(), captions(50)
    tower = text_tower(model)
    assert tower is not None
    direction = torch.randn(50, 32, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    (model.encode_text(tokens) * direction).sum().backward()  # type: ignore[operator]
    stock = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
    model.zero_grad()
    features = encode_by_length(tower, tokens, pass_tokens=0)
    with profile() as profiled:
        (features * direction).sum().backward()  # type: ignore[no-untyped-call]
    lookups = [event for event in profiled.key_averages() if event.key == "aten::embedding_dense_backward"]
    assert [event.count for event in lookups] == [1]
    ours = dict(model.named_parameters())
    for name, gradient in stock.items():
        torch.testing.assert_close(ours[name].grad, gradient, rtol=1e-9, atol=1e-11)
    assert len(stock) > 20


@pytest.mark.parametrize("rows", [0, 1])
def test_few_captions(rows: int) -> None:
    tower = text_tower(model_of())
    assert tower is not None
    assert encode_by_length(tower, captions(3)[:rows], pass_tokens=8).shape == (rows, 32)


@pytest.mark.parametrize("text", [{"no_causal_mask": True}, {"pool_type": "last"}, {"embed_cls": True}])
def test_a_tower_that_looks_ahead_or_pools_elsewhere_is_left_alone(text: dict[str, Any]) -> None:
    assert text_tower(model_of(custom=True, **text)) is None


def test_captions_without_an_end_token() -> None:
    model = model_of(pool_type="eos", eos_id=END)
    assert_equal_features(model, torch.randint(1, END, (5, CONTEXT)), pass_tokens=0)


@pytest.mark.parametrize(
    ("lengths", "pass_tokens", "expected"),
    [
        ([], 5, []),
        ([3], 5, [(0, 1)]),
        ([1, 1, 2, 9], 0, [(0, 2), (2, 3), (3, 4)]),
        ([1, 1, 2, 9], 2, [(0, 3), (3, 4)]),
        ([1, 1, 2, 9], 100, [(0, 4)]),
    ],
)
def test_passes(lengths: list[int], pass_tokens: int, expected: list[tuple[int, int]]) -> None:
    assert token_passes(lengths, pass_tokens) == expected
