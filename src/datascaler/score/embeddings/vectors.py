"""Arithmetic on unit vectors, in blocks: memory does not grow with what a row is compared with."""

import torch
from torch import Tensor

_PRODUCTS = 1 << 24
"""Products that are held at a time: 64 MB of float32."""


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def unit(vectors: Tensor) -> Tensor:
    """[n, d] of any float type -> float32 of length 1."""
    return torch.nn.functional.normalize(vectors.float(), dim=-1)


def split(vectors: Tensor, others: int) -> list[Tensor]:
    """Parts of the rows [n, d] that may each be compared with that many others at once."""
    step = max(1, _PRODUCTS // max(others, 1))
    return [vectors[start : start + step] for start in range(0, len(vectors), step)]


def nearest(vectors: Tensor, centroids: Tensor) -> tuple[Tensor, Tensor]:
    """The largest product of each row [n, d] with a centroid [k, d], and which centroid that is; both [n]."""
    parts = [(part @ centroids.T).max(dim=1) for part in split(vectors, len(centroids))]
    if not parts:
        return vectors.new_empty(0), torch.empty(0, dtype=torch.long, device=vectors.device)
    return torch.cat([part.values for part in parts]), torch.cat([part.indices for part in parts])
