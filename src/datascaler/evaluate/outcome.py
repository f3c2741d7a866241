"""What evaluating one set gives, whatever its kind."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Outcome:
    metrics: dict[str, float | None]
    samples: Any
    """pyarrow Table, one row a sample in tar order; nulls where the image did not decode."""
    images: int
    """Images that entered the metrics."""
    bad_images: int
    """Images that did not decode; they enter no metric."""
