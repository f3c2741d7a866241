"""Near-duplicates within a cluster, by SemDeDup's rule (Abbas et al. 2023, arXiv 2303.09540)."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_SIDE = 2048
"""Rows that are compared with as many others at once: 16 MB of products."""


def nearest_earlier(vectors: Tensor) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Of unit vectors [n, d] in order: the largest cosine of each with any earlier one, and that one's place; both [n].

    -inf and -1 for the first. Earlier ones that are duplicates themselves count: a chain of small steps loses all but
    its first row.
    """
    best = torch.full((len(vectors),), -torch.inf, device=vectors.device)
    place = torch.full((len(vectors),), -1, dtype=torch.long, device=vectors.device)
    for start in range(0, len(vectors), _SIDE):
        mine = slice(start, start + _SIDE)
        for first in range(0, start + 1, _SIDE):
            cosines = vectors[mine] @ vectors[first : first + _SIDE].T
            if first == start:
                cosines = torch.where(torch.ones_like(cosines).tril(-1) > 0, cosines, -torch.inf)
            largest, where = cosines.max(dim=1)
            is_better = largest > best[mine]
            best[mine] = torch.where(is_better, largest, best[mine])
            place[mine] = torch.where(is_better, where + first, place[mine])
    return best.cpu().numpy(), place.cpu().numpy()
