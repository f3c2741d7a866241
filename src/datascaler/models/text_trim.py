"""Captions through a causal text tower without what comes after their end token.

The feature of a caption is taken at its end token, and with a causal mask no token sees a later one. So captions of
about the same length go together, cut after the longest: DataComp's have some 15 tokens of 77.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from datascaler.models.device import to_device
from datascaler.models.open_clip_parts import CLIP, CustomTextCLIP, TextTransformer


@dataclass(frozen=True, slots=True)
class TextTower:
    """What CLIP and CustomTextCLIP keep in different places."""

    home: Any
    """The module that has embeddings, transformer, last norm and projection."""
    end_token: int | None
    """Marks a caption's end; None where that is the highest number."""

    @property
    def device(self) -> torch.device:
        device: torch.device = self.home.positional_embedding.device
        return device

    def end_of(self, tokens: Tensor) -> Tensor:
        """int64 [n, l] -> the position [n] at which open_clip takes the feature."""
        marks = tokens if self.end_token is None else (tokens == self.end_token).int()
        return marks.argmax(dim=-1)

    def embed(self, tokens: Sequence[Tensor]) -> list[Tensor]:
        """int64 [n, l] of any n and l -> their tokens' vectors, [n, l, w].

        All at once: a backward pass makes the whole table's gradient, 100 MB for ViT-B-32, for every lookup.
        """
        vectors = self.home.token_embedding(torch.cat([each.flatten() for each in tokens]))
        parts = vectors.split([each.numel() for each in tokens])
        return [part.view(*each.shape, part.shape[-1]) for part, each in zip(parts, tokens, strict=True)]

    def encode(self, embedded: Tensor, ends: Tensor) -> Tensor:
        """Tokens' vectors [n, l, w], cut after the longest, and the ends [n] of the captions -> features [n, d]."""
        home, length = self.home, embedded.shape[1]
        dtype = home.transformer.get_cast_dtype()
        x = embedded.to(dtype) + home.positional_embedding[:length].to(dtype)
        x = home.transformer(x, attn_mask=home.attn_mask[:length, :length])
        x = home.ln_final(x[torch.arange(len(x), device=x.device), ends])
        if home.text_projection is None:
            features: Tensor = x
        elif isinstance(home.text_projection, nn.Linear):
            features = home.text_projection(x)
        else:
            features = x @ home.text_projection
        return features


def text_tower(model: nn.Module) -> TextTower | None:
    """The tower of a model whose captions may be cut; None for one that looks ahead or takes its feature elsewhere."""
    if type(model) is CLIP:
        home: Any = model
        pool, end_token = home.text_pool_type, home.text_eos_id
    elif type(model) is CustomTextCLIP and type(model.text) is TextTransformer:
        home = model.text
        if home.cls_emb is not None or home.use_pad_mask or home.output_tokens:
            return None
        pool, end_token = home.pool_type, home.eos_id
    else:
        return None
    if home.attn_mask is None or pool not in ("argmax", "eos"):
        return None
    return TextTower(home, end_token if pool == "eos" else None)


def encode_by_length(
    tower: TextTower,
    tokens: Tensor,
    *,
    pass_tokens: int,
    multiple: int = 1,
    encode: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> Tensor:
    """Features [n, d] of int64 [n, context_length] on the CPU, in the order of the captions.

    They are sorted there, since a device that is asked for their lengths has first to finish all that it was given.
    `pass_tokens` is what starting another pass costs, counted in tokens that a pass could have done; lengths are
    rounded up to a `multiple`; `encode` stands in for the tower's own, as a compiled one.
    """
    ends = tower.end_of(tokens)
    order = ends.argsort(stable=True)
    tokens, ends = tokens[order], ends[order]
    lengths = [min(-(-(end + 1) // multiple) * multiple, tokens.shape[1]) for end in ends.tolist()]
    tokens, ends, order = (to_device(each, tower.device) for each in (tokens, ends, order))
    if len(tokens) == 0:
        return tower.encode(tower.embed([tokens])[0], ends)
    runs = token_passes(lengths, pass_tokens)
    embedded = tower.embed([tokens[start:stop, : lengths[stop - 1]] for start, stop in runs])
    passes = [
        (encode or tower.encode)(vectors, ends[start:stop])
        for vectors, (start, stop) in zip(embedded, runs, strict=True)
    ]
    features = torch.cat(passes)
    return torch.empty_like(features).index_copy_(0, order, features)


def token_passes(lengths: Sequence[int], pass_tokens: int) -> list[tuple[int, int]]:
    """The cheapest cut of ascending lengths into runs [start, stop), each costing pass_tokens + size * longest."""
    stops = [at + 1 for at in range(len(lengths)) if at + 1 == len(lengths) or lengths[at + 1] != lengths[at]]
    best: dict[int, tuple[int, int]] = {0: (0, 0)}
    for stop in stops:
        best[stop] = min(
            (cost + pass_tokens + (stop - start) * lengths[stop - 1], start) for start, (cost, _) in best.items()
        )
    runs, stop = [], len(lengths)
    while stop:
        start = best[stop][1]
        runs.append((start, stop))
        stop = start
    return runs[::-1]
