"""DataComp's image-based filter: keep the clusters that some target picture falls into (arXiv 2304.14108)."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datascaler.errors import ConfigError
from datascaler.models.device import choose_device
from datascaler.score.embeddings.source import EmbeddingBlock
from datascaler.score.embeddings.vector_files import VectorFile
from datascaler.score.embeddings.vectors import nearest


@dataclass(frozen=True, slots=True)
class ImageBased:
    """Cluster centres, and which of them are the nearest one of a target."""

    centroids: Tensor
    """[clusters, d] float32 as given: DataComp compares by the inner product, whatever their length."""
    is_hit: Tensor
    """[clusters]"""

    @property
    def width(self) -> int:
        return int(self.centroids.shape[1])

    def score(self, _shard: int, block: EmbeddingBlock) -> NDArray[np.float32]:
        """[k]: 1 for a row whose nearest centre is hit, else 0."""
        _, clusters = nearest(block.units()[0], self.centroids)
        return self.is_hit[clusters].float().cpu().numpy()


def image_based(target: VectorFile, centroids: VectorFile) -> ImageBased:
    if target.width != centroids.width:
        raise ConfigError(
            f"{target.url} has vectors of {target.width} numbers, {centroids.url} of {centroids.width}: "
            "embed both with the model of the pool's embeddings"
        )
    centres = torch.from_numpy(centroids.vectors.astype(np.float32)).to(choose_device())
    is_hit = torch.zeros(len(centres), dtype=torch.bool, device=choose_device())
    for targets in target.units():
        is_hit[nearest(targets, centres)[1]] = True
    return ImageBased(centres, is_hit)
