"""NormSim: how much a picture has in common with a set of target pictures (Wang et al. 2024, arXiv 2405.19547)."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datascaler.models.device import choose_device
from datascaler.score.embeddings.source import EmbeddingBlock
from datascaler.score.embeddings.vector_files import VectorFile
from datascaler.score.embeddings.vectors import split


@dataclass(frozen=True, slots=True)
class NormSim2:
    """The 2-norm of a picture's cosines with all targets: sqrt(x G x) with G the targets' Gram matrix, whose size does
    not depend on their number."""

    gram: Tensor
    """[d, d] float64."""

    @property
    def width(self) -> int:
        return len(self.gram)

    def score(self, _shard: int, block: EmbeddingBlock) -> NDArray[np.float32]:
        images = block.units()[0].double()
        squares = ((images @ self.gram) * images).sum(dim=1).clamp(min=0)
        return squares.sqrt().float().cpu().numpy()


@dataclass(frozen=True, slots=True)
class NormSimInf:
    """The largest cosine with any target."""

    target: VectorFile

    @property
    def width(self) -> int:
        return self.target.width

    def score(self, _shard: int, block: EmbeddingBlock) -> NDArray[np.float32]:
        images = block.units()[0]
        best = torch.full((len(images),), -torch.inf, device=images.device)
        for targets in self.target.units():
            parts = [(part @ targets.T).amax(dim=1) for part in split(images, len(targets))]
            best = torch.maximum(best, torch.cat(parts))
        return best.cpu().numpy()


def norm_sim(target: VectorFile, p: str) -> NormSim2 | NormSimInf:
    if p == "inf":
        return NormSimInf(target)
    gram = torch.zeros(target.width, target.width, dtype=torch.float64, device=choose_device())
    for targets in target.units():
        gram += targets.double().T @ targets.double()
    return NormSim2(gram)
