"""Whatever threads parse at the same time, each gets what its text says."""

import gc
import io
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from datascaler.data.tables.npy_files import load_npy, read_npy_header
from datascaler.tools.python_literals import parse_literal

THREADS, ROUNDS = 4, 800


class _Garbage:
    """A cycle whose end runs Python code, where threads change."""

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        sum(range(50))


@pytest.fixture
def busy_threads() -> Iterator[None]:
    interval, thresholds = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(1e-5)
    gc.set_threshold(5)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)
        gc.set_threshold(*thresholds)


def _at_a_depth(depth: int, parse: Callable[[], Any]) -> Any:
    return parse() if depth == 0 else _at_a_depth(depth - 1, parse)


def _parsed_in_threads(parse: Callable[[], Any]) -> list[Any]:
    def work(thread: int) -> list[Any]:
        found = []
        for _ in range(ROUNDS):
            _Garbage()
            found.append(_at_a_depth(7 * thread, parse))
        return found

    with ThreadPoolExecutor(THREADS) as executor:
        return [each for found in executor.map(work, range(THREADS)) for each in found]


@pytest.mark.usefixtures("busy_threads")
def test_literals_of_four_threads() -> None:
    """python/cpython#106905: on CPython 3.11, some of these ended with a SystemError."""
    assert _parsed_in_threads(lambda: parse_literal("{'a': (5, 16), 'b': [False]}")) == [
        {"a": (5, 16), "b": [False]}
    ] * (THREADS * ROUNDS)


@pytest.mark.usefixtures("busy_threads")
def test_npy_headers_of_four_threads() -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.arange(6, dtype=np.float16).reshape(2, 3))
    content = buffer.getvalue()

    headers = _parsed_in_threads(lambda: read_npy_header(io.BytesIO(content)))
    assert headers == [((2, 3), False, np.dtype(np.float16))] * (THREADS * ROUNDS)
    arrays = _parsed_in_threads(lambda: load_npy(io.BytesIO(content)).tolist())
    assert arrays == [[[0, 1, 2], [3, 4, 5]]] * (THREADS * ROUNDS)


def test_an_archive_is_no_array() -> None:
    buffer = io.BytesIO()
    np.savez(buffer, rows=np.arange(3))
    buffer.seek(0)
    with pytest.raises(ValueError, match="an archive of arrays"):
        load_npy(buffer)
