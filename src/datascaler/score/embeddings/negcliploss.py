"""negCLIPLoss: the cosine of a pair, less what image and caption have in common with everything else.

    s_i - T/2 [ log sum_j exp(s_ij / T) + log sum_j exp(s_ji / T) ]

averaged over batches (Wang et al. 2024, arXiv 2405.19547). Here a batch is the row itself and random rows of the whole
pool, the same for all rows, so that a score depends neither on the shard that a row is in nor on who computes it. A
pool that fits a batch is the batch.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datascaler.score.embeddings.random_rows import Rows, collect_rows
from datascaler.score.embeddings.source import EmbeddingBlock, EmbeddingSource
from datascaler.score.embeddings.vectors import log_sums


@dataclass(frozen=True, slots=True)
class NegClipLoss:
    """Rows of the pool to compare with, and how."""

    negatives: Rows
    batch_rows: int
    rounds: int
    temperature: float

    @property
    def width(self) -> int:
        return int(self.negatives.vectors[0].shape[1])

    def score(self, shard: int, block: EmbeddingBlock) -> NDArray[np.float32]:
        """[k]: the scores of a block's rows of the shard at that place of the frozen list."""
        images, texts = block.units()
        cosines = (images * texts).sum(dim=1)
        places = self._places(shard, block.rows)
        losses = torch.zeros_like(cosines)
        batches = list(self._batches())
        for start, end in batches:
            is_there = torch.from_numpy((places >= start) & (places < end)).to(cosines.device)
            all_images, all_texts = (each[start:end] for each in self.negatives.vectors)
            for mine, others in ((images, all_texts), (texts, all_images)):
                losses += self._log_sums(mine, others, cosines, is_there) / len(batches)
        return (cosines - losses * (self.temperature / 2)).cpu().numpy()

    def _batches(self) -> Iterator[tuple[int, int]]:
        """Ranges of the negatives: apart from one another where there are enough of them, else overlapping evenly."""
        spare = len(self.negatives) - self.batch_rows
        if spare <= 0:
            yield 0, len(self.negatives)
            return
        for number in range(self.rounds):
            start = number * spare // max(self.rounds - 1, 1)
            yield start, start + self.batch_rows

    def _places(self, shard: int, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """[k]: where the rows are among the negatives, or -1."""
        ours = np.flatnonzero(self.negatives.shard == shard)
        place_of_row = np.full(int(rows.max()) + 1, -1, dtype=np.int64)
        ours = ours[self.negatives.row[ours] < len(place_of_row)]
        place_of_row[self.negatives.row[ours]] = ours
        return place_of_row[rows]

    def _log_sums(self, mine: Tensor, others: Tensor, cosines: Tensor, is_there: Tensor) -> Tensor:
        """[k]: the logarithm of the sum over the batch; a row that is not among the others is added to it."""
        sums = log_sums(mine, others, self.temperature)
        return torch.where(is_there, sums, torch.logaddexp(sums, cosines / self.temperature))


def neg_clip_loss(source: EmbeddingSource, batch_rows: int, rounds: int, temperature: float, seed: int) -> NegClipLoss:
    negatives = collect_rows(source, batch_rows * rounds, seed, text=True)
    return NegClipLoss(negatives, batch_rows, rounds, temperature)
