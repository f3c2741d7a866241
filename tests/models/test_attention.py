"""The attention factor, and equality with the stock module at the base width."""

import math

import pytest
import torch
from torch import Tensor, nn

from datascaler.models.attention import ScaledAttention, fold_attention_scale

CAUSAL = torch.full((16, 16), -math.inf).triu(1)


def stock_attention(width: int, heads: int) -> nn.MultiheadAttention:
    torch.manual_seed(0)
    stock = nn.MultiheadAttention(width, heads, batch_first=True)
    nn.init.normal_(stock.in_proj_bias, std=0.1)
    nn.init.normal_(stock.out_proj.bias, std=0.1)
    return stock


@pytest.mark.parametrize(("width", "heads"), [(768, 12), (144, 12), (96, 8), (24, 6)])
@pytest.mark.parametrize("mask", [None, CAUSAL])
def test_equals_the_stock_module_at_the_base_width(width: int, heads: int, mask: Tensor | None) -> None:
    """Outputs and all gradients, bit for bit, and the parameters under the same names."""
    stock = stock_attention(width, heads)
    ours = ScaledAttention(stock, base_head_dim=width // heads)
    assert ours.state_dict().keys() == stock.state_dict().keys()
    results = []
    for module in (stock, ours):
        x = torch.randn(5, 16, width, generator=torch.Generator().manual_seed(1)).requires_grad_()
        output = module(x, x, x, need_weights=False, attn_mask=mask)[0]
        results.append([output, *torch.autograd.grad(output.square().sum(), [x, *module.parameters()])])
    for expected, got in zip(*results, strict=True):
        assert torch.equal(expected, got)


@pytest.mark.parametrize("base_head_dim", [4, 16, 64])
def test_logits_are_q_k_times_sqrt_of_base_over_d(base_head_dim: int) -> None:
    """Known q, k and v in one head: identity projections, so the output is softmax(x x^T sqrt(d_base) / d) x."""
    head_dim = 16
    stock = nn.MultiheadAttention(head_dim, 1, batch_first=True)
    with torch.no_grad():
        stock.in_proj_weight.copy_(torch.eye(head_dim).repeat(3, 1))
        stock.out_proj.weight.copy_(torch.eye(head_dim))
    x = torch.randn(2, 7, head_dim, generator=torch.Generator().manual_seed(0)) * 3
    output, weights = ScaledAttention(stock, base_head_dim)(x, x, x)
    logits = x @ x.mT * math.sqrt(base_head_dim) / head_dim
    torch.testing.assert_close(output, logits.softmax(dim=-1) @ x)
    assert weights is None


def test_folding_makes_the_stock_module_equal() -> None:
    stock = stock_attention(96, 6)
    ours = ScaledAttention(stock, base_head_dim=4)
    folded = fold_attention_scale({f"block.attn.{name}": value for name, value in stock.state_dict().items()}, ratio=4)
    x = torch.randn(3, 16, 96, generator=torch.Generator().manual_seed(1))
    expected = ours(x, x, x, attn_mask=CAUSAL)[0]
    assert not torch.allclose(stock(x, x, x, need_weights=False, attn_mask=CAUSAL)[0], expected, atol=1e-3)
    stock.load_state_dict({name.removeprefix("block.attn."): value for name, value in folded.items()})
    torch.testing.assert_close(stock(x, x, x, need_weights=False, attn_mask=CAUSAL)[0], expected)
