"""Draws without replacement by the softmax of logits that may change between draws: the Gumbel top-k trick.

The k largest of logit + Gumbel noise are k draws without replacement (Vieira 2014; Kool et al. 2019). A row's noise
follows from seed, draw and place, so the outcome is the same on every machine. Most rows need no logarithm: one whose
uniform number lies below `_hopeless` can't reach the cut, and where the cut should prove too high it is lowered; it
changes the time that a draw takes, not what is drawn.
"""

import numpy as np
from numpy.typing import NDArray

from datascaler.tools.philox import uniforms

_ROWS_AT_A_TIME = 1 << 18
_PURPOSE = 1 << 62
"""Apart from what training asks of the same generator."""
_BINS = 4096
_ROOM = 1.2
_BEYOND_ANY_NOISE = 40.0
"""Gumbel noise of 53-bit uniforms lies within (-4, 37)."""
_ROUNDING = 1e-6


class WeightedDraws:
    """n rows, 8 bytes each. A logit of -inf is never drawn."""

    def __init__(self, logits: NDArray[np.float32], seed: int) -> None:
        self._logits = logits.astype(np.float32)
        self._seed = seed
        self._hopeless = np.full(len(logits), 2, np.float32)
        self._cut = np.inf

    def draw(self, count: int, number: int) -> NDArray[np.int64]:
        """The rows of the number-th draw, ascending, [count]. Raises ValueError where fewer have a finite logit."""
        wanted = _ROOM * count
        rows, keys = self._candidates(number)
        while len(rows) < count:
            if wanted > 4 * len(self._logits):
                raise ValueError(f"can't draw {count} of {len(self._logits)} rows: too few have a finite logit")
            self._move_cut(wanted)
            wanted *= 2
            rows, keys = self._candidates(number)
        if len(rows) > count:
            rows = rows[np.argpartition(-keys, count)[:count]]
        return np.sort(rows)

    def change(self, rows: NDArray[np.int64], logits: NDArray[np.float32]) -> None:
        """New logits [k] of distinct rows [k]."""
        self._logits[rows] = logits
        self._hopeless[rows] = self._least_uniform(self._logits[rows])

    def _candidates(self, number: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The rows that reach the cut, and their logits with noise."""
        rows, keys = [], []
        for chunk, start in enumerate(range(0, len(self._logits), _ROWS_AT_A_TIME)):
            hopeless = self._hopeless[start : start + _ROWS_AT_A_TIME]
            uniform = uniforms(len(hopeless), (self._seed, number), _PURPOSE + chunk)
            found = np.flatnonzero(uniform >= hopeless)
            noise = -np.log(-np.log(np.maximum(uniform[found], 2.0**-54)))
            key = self._logits[found + start] + noise
            reaching = key >= self._cut
            rows.append(found[reaching] + start)
            keys.append(key[reaching])
        return np.concatenate(rows), np.concatenate(keys)

    def _move_cut(self, wanted: float) -> None:
        """Move the cut to where about this many rows reach it; below all rows if there are no more."""
        finite = self._logits[np.isfinite(self._logits)].astype(np.float64)
        counts, edges = np.histogram(finite, _BINS)
        middles = (edges[1:] + edges[:-1]) / 2
        low, high = edges[0] - _BEYOND_ANY_NOISE, edges[-1] + _BEYOND_ANY_NOISE
        for _ in range(60):
            cut = (low + high) / 2
            reaching = float((counts * -np.expm1(-np.exp(np.minimum(middles - cut, _BEYOND_ANY_NOISE)))).sum())
            low, high = (low, cut) if reaching < wanted else (cut, high)
        self._cut = low
        for start in range(0, len(self._logits), _ROWS_AT_A_TIME):
            piece = slice(start, start + _ROWS_AT_A_TIME)
            self._hopeless[piece] = self._least_uniform(self._logits[piece])

    def _least_uniform(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        """What a row's uniform number must be for it to reach the cut, a little less for the rounding's sake."""
        above = np.minimum(logits.astype(np.float64) - self._cut, _BEYOND_ANY_NOISE)
        return np.exp(-np.exp(above)) - _ROUNDING
