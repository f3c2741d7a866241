"""Captions -> token ids, as the model's own tokenizer does it."""

from collections.abc import Callable, Sequence

import open_clip
import torch
from torch import Tensor

from datascaler.models.arch import register_configs

Tokenize = Callable[[Sequence[str]], Tensor]
"""n captions -> int64 [n, context_length]"""


def tokenizer_for(model: str) -> Tokenize:
    """The tokenizer of an open_clip name, `hf-hub:` or `local-dir:`. Long captions are cut and keep their end token."""
    register_configs()
    tokenizer = open_clip.get_tokenizer(model)

    def tokenize(captions: Sequence[str]) -> Tensor:
        # The tokenizer refuses an empty list.
        tokens = tokenizer(list(captions) or [""])
        return torch.as_tensor(tokens)[: len(captions)]

    return tokenize
