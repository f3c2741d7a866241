"""Captions -> token ids, as the model's own tokenizer does it."""

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from datascaler.models.arch import known_archs
from datascaler.models.long_words import first_symbols
from datascaler.models.open_clip_parts import SimpleTokenizer, factory
from datascaler.tools.foreign_warnings import refuse_wrong_results

Tokenize = Callable[[Sequence[str]], Tensor]
"""n captions -> int64 [n, context_length]"""

_LONG_WORD = 256
"""Letters from which a word is not encoded as a whole."""
_CACHED_WORDS = 1 << 18
_CACHED_LETTERS = 32


LONGEST_CLEANED = 4096
"""Letters of a caption that are cleaned. What ftfy does may take the square of that: entities of entities, as
&amp;amp;amp;, are taken apart one by one, each time from the beginning. A context of 77 tokens has some 400 letters.
"""
_PLAIN = re.compile(r"[\t\n\r -%'-~]*")
"""What cleaning leaves as it is, whatever follows: ASCII without control characters and the beginnings of entities."""
_log = logging.getLogger(__name__)


class _Cut:
    """The captions that this process has cut."""

    count = 0


def cut_to_clean(caption: str) -> str:
    """The part of a caption that is cleaned; where it is not all, that is counted, and said at every power of ten."""
    if len(caption) <= LONGEST_CLEANED:
        return caption
    _Cut.count += 1
    if str(_Cut.count).rstrip("0") == "1":
        _log.warning(
            "%d caption(s) so far were longer than %d letters and were cut there before they were cleaned: "
            "open_clip's own tokens of them may be others",
            _Cut.count,
            LONGEST_CLEANED,
        )
    return caption[:LONGEST_CLEANED]


def cut_captions() -> int:
    """How many captions this process has cut before they were cleaned."""
    return _Cut.count


def certain_beginnings(text: str) -> Iterator[str]:
    """Beginnings of a caption's beginning whose tokens are the caption's first ones, whatever follows.

    Cleaning goes line by line, so whole lines don't depend on those after them; and in a line that begins plainly, what
    follows changes no whole word before it.
    """
    whole_lines = text.rpartition("\n")[0]
    if whole_lines:
        yield whole_lines
    plain = _PLAIN.match(text)
    words = plain[0] if plain else ""
    yield words[: max(words.rfind(blank) for blank in " \t\n\r") + 1]


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """open_clip's tokenizer of a model. Picklable."""

    tokenizer: Any

    def __call__(self, captions: Sequence[str]) -> Tensor:
        # The tokenizer refuses an empty list.
        tokens = self.tokenizer([cut_to_clean(caption) for caption in captions] or [""])
        return torch.as_tensor(tokens)[: len(captions)]


class BoundedTokenizer:
    """open_clip's SimpleTokenizer, with the same tokens, whatever the length of a caption. Picklable.

    Nothing is encoded that would be cut off, and the words that are remembered are bounded: a pool has millions.
    """

    def __init__(self, stock: SimpleTokenizer) -> None:
        stock.cache = _Words(stock.cache)
        self._stock = stock
        self._longest = max(map(len, stock.encoder))

    def __call__(self, captions: Sequence[str]) -> Tensor:
        context = int(self._stock.context_length)
        tokens = torch.zeros(len(captions), context, dtype=torch.long)
        for row, caption in enumerate(captions):
            # One more than there is room for tells that there were more.
            ids = [self._stock.sot_token_id, *self._first_tokens(caption, context - 1)][:context]
            ids = [*ids[: context - 1], self._stock.eot_token_id]
            tokens[row, : len(ids)] = torch.tensor(ids)
        return tokens

    def _first_tokens(self, caption: str, count: int) -> list[int]:
        """Return at least the first `count` tokens, or all."""
        if len(caption) <= LONGEST_CLEANED:
            return self._tokens_of(caption, count)
        for beginning in certain_beginnings(caption[:LONGEST_CLEANED]):
            tokens = self._tokens_of(beginning, count)
            if len(tokens) >= count:
                return tokens
        return self._tokens_of(cut_to_clean(caption), count)

    def _tokens_of(self, text: str, count: int) -> list[int]:
        stock = self._stock
        tokens: list[int] = []
        for match in stock.pat.finditer(stock.clean_fn(text)):
            word = "".join(map(stock.byte_encoder.__getitem__, match.group().encode("utf-8")))
            tokens.extend(map(stock.encoder.__getitem__, self._symbols(word, count - len(tokens))))
            if len(tokens) >= count:
                break
        return tokens

    def _symbols(self, word: str, count: int) -> list[str]:
        if len(word) > _LONG_WORD:
            return first_symbols(word, self._stock.bpe_ranks, self._longest, count)
        encoded: str = self._stock.bpe(word)
        return encoded.split(" ")


class _Words(dict[str, str]):
    """Remembers the first words, which are the frequent ones."""

    def __setitem__(self, word: str, encoded: str) -> None:
        if len(self) < _CACHED_WORDS and len(word) <= _CACHED_LETTERS:
            super().__setitem__(word, encoded)


def tokenizer_for(model: str, context_length: int | None = None) -> Tokenize:
    """The tokenizer of an open_clip name, `hf-hub:` or `local-dir:`. Long captions are cut and keep their end token.

    context_length: None is the model's own.
    """
    known_archs(model)
    with refuse_wrong_results(f"no tokenizer for {model}"):
        tokenizer = factory.get_tokenizer(model, context_length=context_length)
    if type(tokenizer) is SimpleTokenizer and tokenizer.reduction_fn is None:
        return BoundedTokenizer(tokenizer)
    return Tokenizer(tokenizer)
