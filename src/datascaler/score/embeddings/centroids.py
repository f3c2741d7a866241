"""Cluster centres of a pool's image embeddings: fitted once, published, and used again by other rules and filters."""

import torch
from torch import Tensor

from datascaler import storage
from datascaler.data.tables.array_file import encode_array, read_array
from datascaler.progress import progress
from datascaler.score.embeddings.collect import collect
from datascaler.score.embeddings.kmeans import spherical_kmeans
from datascaler.score.embeddings.source import EmbeddingSource
from datascaler.score.embeddings.vectors import device

_ROWS_PER_CLUSTER = 256
"""As many as faiss samples at most."""
_MOST_ROWS = 1_000_000
"""3 GB of 768 numbers."""


def default_sample(clusters: int) -> int:
    return min(_ROWS_PER_CLUSTER * clusters, _MOST_ROWS)


def shared_centroids(source: EmbeddingSource, url: str, clusters: int, sample: int, seed: int) -> Tensor:
    """The centres at `url`, [at most `clusters`, d] float32: fitted on `sample` rows and published if they are absent.

    Of several workers that fit them, all use those of the first.
    """
    if not storage.exists(url):
        vectors = collect(source, sample, seed, text=False).vectors[0]
        with progress(1, "clusters", unit="fit") as bar:
            centroids = spherical_kmeans(vectors, clusters, seed)
            bar.update()
        storage.publish_if_absent(url, encode_array(centroids.cpu().numpy()))
    return torch.from_numpy(read_array(url)).to(device())
