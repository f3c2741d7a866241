"""Draws whose sample could not be used: when there are too many of them, and what was wrong with most."""

import logging
import re
from collections import Counter
from collections.abc import Iterable

from datascaler.safe_text import safe_message

WARN_ABOVE = 0.01
"""Share of the draws."""
JUDGED_DRAWS = 10_000
"""A share is taken of at least so many, or of an epoch that has fewer: what is lost lies together in a pool."""
JUDGED_DRAWS_UNMIXED = 1_000_000
"""The same for the pool as a stream, where a whole shard comes at once: a hundred of DataComp's."""
_MOST_KINDS = 100

_log = logging.getLogger(__name__)


class Replaced:
    """Judges the number of replaced draws, while it grows."""

    def __init__(self, limit: float, judged_draws: int, *, flag: str = "--max-substituted") -> None:
        """`limit`, which the user knows as `flag`, is the share of draws that may be replaced, of at least
        `judged_draws`.
        """
        self._limit, self._judged_draws, self._flag = limit, judged_draws, flag
        self._kinds: Counter[str] = Counter()
        self._examples: dict[str, str] = {}
        self._warned = False

    def note(self, faults: Iterable[str]) -> None:
        """Remember why draws were replaced; numbers don't tell faults apart."""
        for fault in faults:
            kind = re.sub(r"\d+", "N", fault)
            if len(self._examples) < _MOST_KINDS:
                self._examples.setdefault(kind, fault)
            if kind in self._examples:
                self._kinds[kind] += 1

    def excess(self, replaced: int, draws: int, *, warns: bool) -> str | None:
        """What to end with where `replaced` of `draws` are more than the limit. Well below it one process warns, once.

        It is certain as soon as it is said: not even good draws up to the number that is judged would change it.
        """
        judged = max(draws, self._judged_draws)
        sentence = f"{replaced:,} of {draws:,} draws ({replaced / max(1, draws):.1%}) were replaced by other samples"
        why = self._why()
        if replaced > self._limit * judged:
            return (
                f"{sentence}, more than {self._flag} {100 * self._limit:g}%{why}; look at the pool with "
                "`datascaler pool check`, or raise the limit to go on"
            )
        if replaced > WARN_ABOVE * judged and warns and not self._warned:
            self._warned = True
            _log.warning("%s%s", sentence, safe_message(why))
        return None

    def _why(self) -> str:
        if not self._kinds:
            return ""
        ((kind, _),) = self._kinds.most_common(1)
        return f": {self._examples[kind]}"
