"""MetaCLIP's balancing (arXiv 2309.16671): captions of what is everywhere are thinned out, those of the rare stay."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from datascaler.data.select.scored_pool import random_scores
from datascaler.score.captions.entries import Entries
from datascaler.score.captions.rows import CaptionRows
from datascaler.score.captions.rule import Judged

_PURPOSE = 0x6D657461
"""Keeps the draw apart from that of `subset --method random` with the same seed."""


@dataclass(frozen=True, slots=True)
class MetaClipRule:
    """Scores the probability to be kept minus a random number in (0, 1] that belongs to uid and seed.

    So what scores at least 0 is a sample as MetaCLIP draws it, and it is the same however the pool is cut. An entry
    with c captions in the whole pool keeps each of them with p = limit / max(c, limit); a caption is kept if any of its
    entries keeps it, so with 1 - prod(1 - p). One without an entry never is.
    """

    entries: Entries
    counts: NDArray[np.int64]
    """[entries] captions of the whole pool that have the entry."""
    entry_limit: int
    seed: int
    needs_size: bool = False

    @property
    def settings(self) -> dict[str, Any]:
        return {"entries": self.entries.digest, "entry_limit": self.entry_limit, "seed": self.seed}

    def judge(self, rows: CaptionRows) -> Judged:
        dropped = 1 - self.entry_limit / np.maximum(self.counts, self.entry_limit)
        keep = np.zeros(len(rows.captions))
        matches = np.zeros(len(rows.captions), np.int32)
        for row in np.flatnonzero(rows.ok):
            found = self.entries.found_in(rows.captions[row])
            keep[row] = 1 - np.prod(dropped[found]) if found else 0
            matches[row] = len(found)
        draws = 1 - random_scores(rows.places["uid_low"].to_numpy(), self.seed ^ _PURPOSE).astype(np.float64)
        columns = {"keep_probability": pa.array(keep.astype(np.float32)), "entries": pa.array(matches)}
        return Judged((keep - draws).astype(np.float32), columns)
