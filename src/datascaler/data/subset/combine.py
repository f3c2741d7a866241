"""Subsets combined by and, or, minus and plus, as multisets.

    and      the uids of the first that are in all others, as often as the first has them
    minus    the first without the uids that are in any other, whatever their number there
    or       every uid, as often as the input that has it most
    plus     every uid, as often as all inputs together have it

So the others are filters to the first in `and` and `minus`: what was weighted by repeats stays weighted. Needs some 50
bytes of memory a uid.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datascaler import __version__
from datascaler.data.pool.uids import UID_DTYPE, find_sorted, is_sorted, sort_order
from datascaler.data.subset.derived_subset import derived_name, pool_of, publish_derived
from datascaler.data.subset.multiset import count_repeats, distinct_counts, first_of_each
from datascaler.data.subset.subset import format_of, read_recipe, read_subset, subset_digest
from datascaler.errors import ConfigError

_RULES = {
    "and": "the uids of the first that are in all others, as often as the first has them",
    "minus": "the first without the uids that are in any other",
    "or": "every uid, as often as the input that has it most",
    "plus": "every uid, as often as all inputs together have it",
}
OPERATIONS = tuple(_RULES)
_NEEDLES_AT_A_TIME = 1 << 20


@dataclass(frozen=True, slots=True)
class Combined:
    file: str
    uids: int
    """Repeats counted."""
    distinct: int
    inputs: dict[str, int]
    """URL -> uids, repeats counted."""


def combine_subsets(operation: str, urls: Sequence[str], output: str, *, overwrite: bool = False) -> Combined:
    """Combine subset files, and write the result with its recipe. Raises ConfigError for fewer than two files."""
    if operation not in _RULES:
        raise ConfigError(f"unknown operation {operation!r}; known: {', '.join(_RULES)}")
    if len(urls) < 2:
        raise ConfigError(f"{operation} needs at least two subset files, got {len(urls)}")
    format_of(output)
    subsets = [read_subset(url) for url in urls]
    uids = combine_uids(operation, subsets)
    recipes = [read_recipe(url) for url in urls]
    distinct = len(uids) - count_repeats(uids)
    recipe: dict[str, Any] = {
        "method": derived_name(output),
        "rule": f"{operation}: {_RULES[operation]}",
        "inputs": [
            {"subset": url, "digest": subset_digest(subset), "uids": len(subset)}
            for url, subset in zip(urls, subsets, strict=True)
        ],
        "kept_uids": len(uids),
        "distinct_uids": distinct,
        **pool_of(recipes),
        "code_version": __version__,
    }
    file = publish_derived(output, uids, recipe, overwrite=overwrite)
    return Combined(file, len(uids), distinct, {url: len(each) for url, each in zip(urls, subsets, strict=True)})


def combine_uids(operation: str, subsets: Sequence[NDArray[np.void]]) -> NDArray[np.void]:
    """Ascending `u8,u8` arrays -> their combination, ascending."""
    kept = subsets[0]
    for other in subsets[1:]:
        if operation in ("and", "minus"):
            kept = kept[is_in(kept, other) == (operation == "and")]
        else:
            kept = _merged(kept, other if operation == "plus" else _beyond(other, kept))
    return kept


def is_in(uids: NDArray[np.void], others: NDArray[np.void]) -> NDArray[np.bool_]:
    """Whether each of ascending uids [n] is among the other ascending uids [n]."""
    first = first_of_each(others)
    return _find(uids, others if first.all() else others[first]) >= 0


def _beyond(uids: NDArray[np.void], others: NDArray[np.void]) -> NDArray[np.void]:
    """The uids without as many of each as the others have."""
    if not count_repeats(uids):
        return uids[~is_in(uids, others)]
    distinct, counts = distinct_counts(uids)
    theirs, their_counts = distinct_counts(others)
    at = _find(distinct, theirs)
    return np.repeat(distinct, np.maximum(counts - np.where(at >= 0, their_counts[at], 0), 0))


def _find(uids: NDArray[np.void], distinct: NDArray[np.void]) -> NDArray[np.int64]:
    """Positions [n] among ascending, distinct ones, or -1."""
    high = np.ascontiguousarray(distinct["f0"])
    found = np.empty(len(uids), np.int64)
    for first in range(0, len(uids), _NEEDLES_AT_A_TIME):
        piece = slice(first, first + _NEEDLES_AT_A_TIME)
        # The low halves are looked at for hits only, so they may stay where they are.
        found[piece] = find_sorted(uids[piece], high, distinct["f1"])
    return found


def _merged(uids: NDArray[np.void], more: NDArray[np.void]) -> NDArray[np.void]:
    """All of both, ascending."""
    place = np.searchsorted(np.ascontiguousarray(uids["f0"]), np.ascontiguousarray(more["f0"]), side="right")
    place += np.arange(len(more))
    merged = np.empty(len(uids) + len(more), UID_DTYPE)
    rest = np.ones(len(merged), bool)
    rest[place] = False
    merged[place], merged[rest] = more, uids
    # Only uids that share their high half can be out of order.
    return merged if is_sorted(merged) else merged[sort_order(merged)]
