"""Self-attention whose logits scale as 1/d, which muP needs and nn.MultiheadAttention can't do.

Logits are q.k * sqrt(d_base) / d (arXiv 2203.03466, definition 4.1): equal to the usual 1/sqrt(d) at the base width.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ScaledAttention(nn.Module):
    """Takes the place of an `nn.MultiheadAttention` in an open_clip block, with its parameters under the same names.

    The order of memory follows nn.MultiheadAttention (tokens, then batch), so that at the base width outputs and
    gradients are equal bit for bit.
    """

    def __init__(self, stock: nn.MultiheadAttention, base_head_dim: int) -> None:
        super().__init__()
        self.num_heads, self.head_dim = stock.num_heads, stock.head_dim
        # Written so that head_dim == base_head_dim gives exactly the factor that torch uses by itself.
        self.scale = math.sqrt(base_head_dim / self.head_dim) / math.sqrt(self.head_dim)
        self.in_proj_weight = stock.in_proj_weight
        self.in_proj_bias = stock.in_proj_bias
        self.out_proj = stock.out_proj

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, need_weights: bool = False, attn_mask: Tensor | None = None
    ) -> tuple[Tensor, None]:
        """[n, l, w] three times the same tensor, mask [l, l] added to the logits -> ([n, l, w], None)."""
        assert query is key is value, "only self-attention is scaled"
        assert not need_weights, "attention weights are never formed"
        n, length, width = query.shape
        packed = F.linear(query.transpose(0, 1), self.in_proj_weight, self.in_proj_bias)
        q, k, v = packed.view(length, n, 3, self.num_heads, self.head_dim).permute(2, 1, 3, 0, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=attn_mask, scale=self.scale)
        mixed = mixed.permute(2, 0, 1, 3).reshape(length * n, width)
        return self.out_proj(mixed).view(length, n, width).transpose(0, 1), None


def replace_attention(model: nn.Module, *, base_vision_head_dim: int, base_text_head_dim: int) -> None:
    """Give every block of both towers of an `open_clip.CLIP` the scaled attention, in place; weights are kept."""
    for name, block in list(model.named_modules()):
        stock = getattr(block, "attn", None)
        if isinstance(stock, nn.MultiheadAttention):
            base = base_vision_head_dim if name.startswith("visual.") else base_text_head_dim
            block.attn = ScaledAttention(stock, base)


def fold_attention_scale(state_dict: dict[str, Tensor], ratio: float) -> dict[str, Tensor]:
    """Weights of a muP model -> weights with which a stock CLIP of the same width gives the same features.

    `ratio` is width / base width. The factor sqrt(d_base / d) goes into the query third of each input projection.
    Not for training on: the learning rates of the query weights would no longer be muP's.
    """
    folded = dict(state_dict)
    for name, tensor in state_dict.items():
        if name.endswith((".attn.in_proj_weight", ".attn.in_proj_bias")):
            query, rest = tensor.tensor_split([tensor.shape[0] // 3])
            folded[name] = torch.cat([query * ratio**-0.5, rest])
    return folded
