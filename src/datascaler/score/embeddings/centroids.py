"""Cluster centres of a pool's image embeddings: fitted once, published, and used again by other rules and filters.

They are fitted by spherical k-means: centres of length 1, of rows that are compared by cosine (Dhillon and Modha 2001).
"""

import torch
from torch import Tensor

from datascaler import storage
from datascaler.data.tables.array_file import encode_array, read_array
from datascaler.models.device import choose_device
from datascaler.progress import progress
from datascaler.score.embeddings.random_rows import collect_rows
from datascaler.score.embeddings.source import EmbeddingSource
from datascaler.score.embeddings.vectors import nearest, unit
from datascaler.tools.philox import shuffled

_ROWS_PER_CLUSTER = 256
"""Rows that k-means is fitted on, a cluster: as many as faiss samples at most."""
_MOST_ROWS = 1_000_000
"""3 GB of 768 numbers."""
ITERATIONS = 20
_FIRST_CENTROIDS = 3
"""A purpose of random numbers."""


def default_sample(clusters: int) -> int:
    return min(_ROWS_PER_CLUSTER * clusters, _MOST_ROWS)


def shared_centroids(source: EmbeddingSource, url: str, clusters: int, sample: int, seed: int) -> Tensor:
    """The centres at `url`, [at most `clusters`, d] float32: fitted on `sample` rows and published if they are absent.

    Of several workers that fit them, all use those of the first.
    """
    if not storage.exists(url):
        vectors = collect_rows(source, sample, seed, text=False).vectors[0]
        with progress(1, "clusters", unit="fit") as bar:
            centroids = spherical_kmeans(vectors, clusters, seed)
            bar.update()
        storage.publish_if_absent(url, encode_array(centroids.cpu().numpy()))
    return torch.from_numpy(read_array(url)).to(choose_device())


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
