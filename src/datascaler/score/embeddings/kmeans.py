"""Spherical k-means: cluster centres of length 1, of rows that are compared by cosine (Dhillon and Modha 2001)."""

import torch
from torch import Tensor

from datascaler.score.embeddings.vectors import nearest, unit
from datascaler.tools.philox import shuffled

ITERATIONS = 20
_FIRST_CENTROIDS = 3
"""A purpose of random numbers."""


def spherical_kmeans(vectors: Tensor, clusters: int, seed: int) -> Tensor:
    """[min(clusters, n), d] centres of the unit vectors [n, d], by Lloyd's iteration from random rows.

    A cluster that becomes empty starts again at one of the rows that are farthest from their centres.
    """
    count = min(clusters, len(vectors))
    chosen = torch.from_numpy(shuffled(len(vectors), (seed, 0), _FIRST_CENTROIDS)[:count])
    centroids = vectors[chosen.to(vectors.device)].clone()
    assigned = None
    for _ in range(ITERATIONS):
        similarity, now = nearest(vectors, centroids)
        if assigned is not None and torch.equal(assigned, now):
            break
        assigned = now
        sums = torch.zeros_like(centroids).index_add_(0, assigned, vectors)
        empty = (torch.bincount(assigned, minlength=count) == 0).nonzero()[:, 0]
        if len(empty):
            sums[empty] = vectors[torch.argsort(similarity, stable=True)[: len(empty)]]
        centroids = unit(sums)
    return centroids
