"""DataComp's rules written down once more, row by row, as its own code applies them to a data frame."""

from collections.abc import Callable
from typing import Any

import fasttext
import gcld3
import numpy as np
import pyarrow as pa

from tests.score.captions.files import LANGUAGE_MODEL

_MODEL = fasttext.load_model(LANGUAGE_MODEL)
_CLD3 = gcld3.NNetLanguageIdentifier(min_num_bytes=0, max_num_bytes=1000)


def fasttext_english(text: str) -> bool:
    labels, _ = _MODEL.predict(text.replace("\n", " "), k=1)
    return list(labels) == ["__label__en"]


def cld3_english(text: str) -> bool:
    return str(_CLD3.FindLanguage(text=text).language) == "en"


def basic(row: dict[str, Any]) -> bool:
    text, sides = row["text"], (row["original_width"], row["original_height"])
    words = len(text.split()) > 2
    chars = len(text) > 5
    return fasttext_english(text) and words and chars and min(sides) >= 200 and max(sides) / min(sides) <= 3.0


def image_based_captions(row: dict[str, Any]) -> bool:
    text = row["text"]
    return fasttext_english(text) and len(text.split()) > 1 and len(text) > 5


def kept(rows: pa.Table, rule: Callable[[dict[str, Any]], bool]) -> set[str]:
    return {row["uid"] for row in rows.to_pylist() if rule(row)}


def best_fraction(rows: pa.Table, column: str, fraction: float) -> set[str]:
    """All from the score at index int(N f) of the descending scores on."""
    scores = rows[column].to_numpy()
    threshold = -np.sort(-scores)[int(len(scores) * fraction)]
    return {uid for uid, score in zip(rows["uid"].to_pylist(), scores, strict=True) if score >= threshold}
