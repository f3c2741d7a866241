"""Rules over the language of captions: DataComp's basic filter, and the probability that a caption is English."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from datascaler.score.captions.language import LanguageDetector, english_probabilities, is_english
from datascaler.score.captions.rows import CaptionRows
from datascaler.score.captions.rule import Judged


@dataclass(frozen=True, slots=True)
class EnglishRule:
    """Scores the probability of English where no language is likelier, else 0; a column says which one is likeliest."""

    detector: LanguageDetector
    needs_size: bool = False

    @property
    def settings(self) -> dict[str, Any]:
        return {"language_model": self.detector.detector_id}

    def judge(self, rows: CaptionRows) -> Judged:
        languages, probabilities = english_probabilities(self.detector, rows.captions)
        return Judged(np.array(probabilities, np.float32), {"language": pa.array(languages, pa.string())})


@dataclass(frozen=True, kw_only=True, slots=True)
class BasicRule:
    """Scores 1 what meets all bounds, else 0 (DataComp, baselines/apply_filter.py)."""

    detector: LanguageDetector | None
    """None: captions of any language."""
    min_words: int
    """Words are what whitespace separates."""
    min_chars: int
    min_side: int
    max_aspect: float
    """0 is no bound."""

    @property
    def settings(self) -> dict[str, Any]:
        names = ("min_words", "min_chars", "min_side", "max_aspect")
        detector = self.detector.detector_id if self.detector else ""
        return {"language_model": detector, **{name: getattr(self, name) for name in names}}

    @property
    def needs_size(self) -> bool:
        return bool(self.min_side or self.max_aspect)

    def judge(self, rows: CaptionRows) -> Judged:
        keep = rows.ok
        if self.needs_size:
            shorter, longer = rows.sizes.min(axis=1), rows.sizes.max(axis=1)
            keep &= shorter >= self.min_side
            if self.max_aspect:
                keep &= longer <= self.max_aspect * shorter
        for row in np.flatnonzero(keep):
            caption = rows.captions[row]
            # The language last: it costs most.
            keep[row] = (
                len(caption) >= self.min_chars
                and len(caption.split()) >= self.min_words
                and (self.detector is None or is_english(self.detector, caption))
            )
        return Judged(keep.astype(np.float32))
