"""Progress bars with rate and ETA, on stderr, silent when stderr is not a terminal."""

from typing import Any

from tqdm import tqdm


def progress(total: int, what: str, unit: str = "sample", initial: int = 0) -> "tqdm[Any]":
    """A bar to `update(n)` and close, or to use as a context manager."""
    return tqdm(total=total, initial=initial, desc=what, unit=unit, unit_scale=total > 10_000, disable=None)
