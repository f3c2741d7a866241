"""Reading by obstore: one range, many ranges at once, and ranges of an open file, which are pinned to what it was."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from typing import TYPE_CHECKING, Any

from datascaler.storage.failures import empty_past_end, is_past_end
from datascaler.storage.retry import retried

if TYPE_CHECKING:
    from datascaler.storage.obstore_url import Store

_RANGES_A_CALL = 10
"""obstore has at most as many requests of one call on the way."""
_CALLS_AT_ONCE = 8
"""Of all calls of this process that are longer."""

_Part = list[tuple[int, int]]

_threads: dict[int, ThreadPoolExecutor] = {}
"""By process: a forked child has no threads but its own."""


def read_object(url: str, store: "Store", path: str, start: int, end: int | None) -> bytes:
    """The bytes [start, end) of an object, up to its end where that comes first or `end` is None."""
    if end is not None:
        return read_object_ranges(url, store, path, [(start, end)])[0]
    options: Any = {"range": {"offset": start}} if start else {}
    return retried(url, lambda: empty_past_end(partial(_get, store, path, options)))


def read_object_ranges(url: str, store: "Store", path: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
    """Each range as `read_object` would give it; as many requests as ranges, up to 80 of them at once."""
    wanted = [(start, end) for start, end in ranges if start < end]
    parts = [wanted[at : at + _RANGES_A_CALL] for at in range(0, len(wanted), _RANGES_A_CALL)]

    def read(part: _Part) -> list[bytes]:
        return retried(url, lambda: _read_part(store, path, part))

    contents = (content for answer in _all_of(read, parts) for content in answer)
    return [next(contents) if start < end else b"" for start, end in ranges]


def open_object(url: str, store: "Store", path: str) -> tuple[int, Callable[[int, int], bytes]]:
    """The object's size in bytes, and a function that gives its bytes [start, end) as long as it stays what it is."""
    import obstore

    meta = retried(url, lambda: obstore.head(store, path))

    def fetch(start: int, end: int) -> bytes:
        options: Any = {"range": (start, end), "if_match": meta["e_tag"]}
        return retried(url, lambda: _get(store, path, options))

    return meta["size"], fetch


def _read_part(store: "Store", path: str, part: _Part) -> list[bytes]:
    import obstore

    starts, ends = [start for start, _ in part], [end for _, end in part]
    try:
        # Left alone, it reads gaps of up to 1 MiB along.
        return [bytes(content) for content in obstore.get_ranges(store, path, starts=starts, ends=ends, coalesce=0)]
    except Exception as error:
        if not is_past_end(error):
            raise
    # At least one of them, and the call does not say which.
    return [empty_past_end(partial(_get, store, path, {"range": span})) for span in part]


def _get(store: "Store", path: str, options: Any) -> bytes:
    import obstore

    return bytes(obstore.get(store, path, options=options).bytes())


def _all_of(read: Callable[[_Part], list[bytes]], parts: list[_Part]) -> list[list[bytes]]:
    if len(parts) <= 1:
        return [read(part) for part in parts]
    if os.getpid() not in _threads:
        _threads[os.getpid()] = ThreadPoolExecutor(_CALLS_AT_ONCE, thread_name_prefix="obstore")
    answers = [_threads[os.getpid()].submit(read, part) for part in parts]
    # When one fails, the others must not go on trying behind the caller's back.
    wait(answers)
    return [answer.result() for answer in answers]
