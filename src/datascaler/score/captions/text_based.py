"""DataComp's text-based filter: English captions that name something, by a list of words or by WordNet."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from datascaler.data.pool.text_file import read_list
from datascaler.errors import ConfigError
from datascaler.score.captions.language import LanguageDetector, is_english
from datascaler.score.captions.rows import CaptionRows
from datascaler.score.captions.rule import Judged
from datascaler.score.captions.wordnet import read_synsets, read_wordnet

_REMEMBERED = 1 << 17
"""Words; most are seen again soon."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TextBasedRule:
    """Scores 1 an English caption that has one of the words, else 0 (DataComp, baselines/apply_filter.py)."""

    detector: LanguageDetector | None
    """None: captions of any language."""
    is_named: Callable[[str], bool]
    """Whether a word, in lower case, is one of those looked for."""
    assets: dict[str, str]
    """Setting -> hash of the file that says so."""
    needs_size: bool = False

    @property
    def settings(self) -> dict[str, Any]:
        return {"language_model": self.detector.detector_id if self.detector else "", **self.assets}

    def judge(self, rows: CaptionRows) -> Judged:
        keep = rows.ok
        for row in np.flatnonzero(keep):
            caption = rows.captions[row]
            # WordNet's readers look words up in lower case, so DataComp's rule does.
            named = any(self.is_named(word.lower()) for word in caption.split())
            keep[row] = named and (self.detector is None or is_english(self.detector, caption))
        return Judged(keep.astype(np.float32))


def by_words(detector: LanguageDetector | None, url: str) -> TextBasedRule:
    """The words of a file, one a line, as they stand in captions: plurals are words of their own."""
    lines, digest = read_list(url)
    spaced = next((line for line in lines if len(line.split()) > 1), None)
    if spaced:
        raise ConfigError(
            f"{url} has the line {spaced!r}: captions are looked through word by word, so give one a line"
        )
    words = frozenset(line.lower() for line in lines)
    return TextBasedRule(detector=detector, is_named=words.__contains__, assets={"words": digest})


def by_wordnet(detector: LanguageDetector | None, folder: str, synsets_url: str) -> TextBasedRule:
    """Words whose first synset in WordNet is listed: DataComp's own rule, with ImageNet-21k's synsets as the list."""
    wordnet, digest = read_wordnet(folder)
    wanted, synsets_digest = read_synsets(synsets_url)
    is_named = lru_cache(_REMEMBERED)(lambda word: wordnet.first_offset(word) in wanted)
    return TextBasedRule(detector=detector, is_named=is_named, assets={"wordnet": digest, "synsets": synsets_digest})
