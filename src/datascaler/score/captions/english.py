"""How surely a caption is English."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from datascaler.score.captions.language import LanguageDetector, english_probabilities
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
