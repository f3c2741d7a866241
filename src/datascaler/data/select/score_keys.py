"""Scores as unsigned integers of the same order, which can be counted by their bits."""

import numpy as np
from numpy.typing import NDArray

KEY_BITS = 32


def sortable_keys(scores: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Finite scores [n] -> keys [n] in the same order; both zeros are one key.

    IEEE 754: the bits of positive floats ascend with them, those of negative ones descend, so the sign bit is flipped
    of the former and every bit of the latter.
    """
    bits = (scores.astype(np.float32, copy=False) + np.float32(0.0)).view(np.uint32)  # -0.0 + 0.0 is 0.0
    # All ones where negative, else the sign bit alone.
    mask = (bits.view(np.int32) >> np.int32(31)).view(np.uint32) | np.uint32(1 << 31)
    return bits ^ mask


def score_of_key(key: int) -> float:
    bits = key ^ (1 << 31) if key >> 31 else key ^ 0xFFFFFFFF
    return float(np.uint32(bits).view(np.float32))
