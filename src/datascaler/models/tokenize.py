"""Captions -> token ids, as the model's own tokenizer does it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import open_clip
import torch
from torch import Tensor

from datascaler.models.arch import register_configs

Tokenize = Callable[[Sequence[str]], Tensor]
"""n captions -> int64 [n, context_length]"""


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """open_clip's tokenizer of a model. Picklable."""

    tokenizer: Any

    def __call__(self, captions: Sequence[str]) -> Tensor:
        # The tokenizer refuses an empty list.
        tokens = self.tokenizer(list(captions) or [""])
        return torch.as_tensor(tokens)[: len(captions)]


def tokenizer_for(model: str) -> Tokenize:
    """The tokenizer of an open_clip name, `hf-hub:` or `local-dir:`. Long captions are cut and keep their end token."""
    register_configs()
    return Tokenizer(open_clip.get_tokenizer(model))
