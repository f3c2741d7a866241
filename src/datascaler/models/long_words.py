"""The first symbols of a long word's byte-pair encoding, in bounded time.

open_clip's loop costs the square of a word's length, and a megabyte without a space is one word. What is returned here
is the loop's own result. It always merges the pair of least rank, so what a beginning becomes is certain as long as its
last symbol can't have been merged, by then, with something that follows. Where a word repeats itself nothing is certain
in that way, but then it has few different pairs, and arrays do the loop's work.
"""

from collections.abc import Mapping
from itertools import pairwise
from math import inf

import numpy as np
from numpy.typing import NDArray

PairRanks = Mapping[tuple[str, str], int]

_BEGINNINGS = (512, 2048)
"""Letters: the context of 77 tokens has at most 2,400."""
_WORD_END = "</w>"


def first_symbols(word: str, ranks: PairRanks, longest: int, count: int) -> list[str]:
    """Return at least the first `count` symbols of the word, or all; no symbol has more letters than `longest`."""
    for letters in _BEGINNINGS:
        if letters + longest < len(word):
            symbols = certain_symbols(word[: letters + longest], letters, ranks, longest)
            if len(symbols) >= count:
                return symbols
    return all_symbols(word, ranks)


def certain_symbols(text: str, letters: int, ranks: PairRanks, longest: int) -> list[str]:
    """The final symbols at the beginning of any word that begins with `text` and is longer.

    `text` has `longest` letters more than the `letters` that are encoded.
    """
    symbols = list(text[:letters])
    inside = _pair_ranks(symbols, ranks)
    end = letters
    while symbols:
        least = min(inside, default=inf)
        across = _least_rank_across(symbols[-1], text[end : end + longest], ranks)
        if least == across == inf:
            break
        last = len(symbols[-1])
        if least <= across:
            symbols = _merged(symbols, inside, least)
            inside = _pair_ranks(symbols, ranks)
        # Either merge may come first, or both belong to the same round: the last symbol may be part of what follows.
        if across < least or (across == least and len(symbols[-1]) == last):
            end -= len(symbols.pop())
            del inside[-1:]
    return symbols


def all_symbols(word: str, ranks: PairRanks) -> list[str]:
    """The symbols of the whole word, by one pass over it for each different pair that is merged."""
    letters, ids = np.unique(np.array([*word[:-1], word[-1] + _WORD_END]), return_inverse=True)
    symbols: list[str] = letters.tolist()
    while len(ids) > 1:
        codes = ids[:-1] * len(symbols) + ids[1:]
        pairs = [divmod(code, len(symbols)) for code in np.unique(codes).tolist()]
        rank, pair = min((ranks.get((symbols[left], symbols[right]), inf), (left, right)) for left, right in pairs)
        if rank == inf:
            break
        merged = "".join(symbols[each] for each in pair)
        # Two ways may lead to one symbol, and it is the symbol that has ranks.
        number = symbols.index(merged) if merged in symbols else len(symbols)
        starts = _starts(codes == pair[0] * len(symbols) + pair[1], repeats=pair[0] == pair[1])
        symbols += [merged] * (number == len(symbols))
        ids[starts] = number
        ids = np.delete(ids, starts + 1)
    return [symbols[each] for each in ids.tolist()]


def _pair_ranks(symbols: list[str], ranks: PairRanks) -> list[float]:
    return [ranks.get(pair, inf) for pair in pairwise(symbols)]


def _least_rank_across(symbol: str, following: str, ranks: PairRanks) -> float:
    """The least rank of all pairs of the symbol and a beginning of what follows."""
    return min((ranks.get((symbol, following[:size]), inf) for size in range(1, len(following) + 1)), default=inf)


def _merged(symbols: list[str], pair_ranks: list[float], rank: float) -> list[str]:
    """All pairs of one rank made one symbol, from left to right."""
    merged: list[str] = []
    at = 0
    while at < len(symbols):
        if at < len(pair_ranks) and pair_ranks[at] == rank:
            merged.append(symbols[at] + symbols[at + 1])
            at += 2
        else:
            merged.append(symbols[at])
            at += 1
    return merged


def _starts(matches: NDArray[np.bool_], *, repeats: bool) -> NDArray[np.int64]:
    """Where pairs are merged from left to right; those of two equal symbols overlap in a run of them."""
    starts = np.flatnonzero(matches)
    if not repeats or not len(starts):
        return starts
    run_begins = np.concatenate([[True], np.diff(starts) != 1])
    begins = np.maximum.accumulate(np.where(run_begins, starts, 0))
    kept: NDArray[np.int64] = starts[(starts - begins) % 2 == 0]
    return kept
