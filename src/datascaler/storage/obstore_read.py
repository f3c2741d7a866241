"""Reading by obstore: one range, many ranges at once, and ranges of an open file, which are pinned to what it was."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from typing import TYPE_CHECKING, Any

from datascaler.storage.error_translation import empty_past_end, is_past_end, require_length
from datascaler.storage.retry import retried

if TYPE_CHECKING:
    from datascaler.storage.obstore_url import Store

_RANGES_A_CALL = 10
"""obstore has at most as many requests of one call on the way."""
_CALLS_AT_ONCE = 8
"""The most requests at once of all calls of this process that come in parts."""
_LARGE_BYTES = 1 << 20
"""A range from this on is streamed: in one piece it costs three times the CPU, in memory that is fresh each time."""
_PIECE_BYTES = 256 << 10

_threads: dict[int, ThreadPoolExecutor] = {}
"""The threads of each process, by its pid: a forked child has no threads but its own."""


def read_object_ranges(url: str, store: "Store", path: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
    """The bytes [start, end) of each range, up to the object's end where that comes first.

    There are as many requests as ranges, up to 80 of them at once.
    """
    contents = [b""] * len(ranges)
    sizes = [end - start for start, end in ranges]
    small = [number for number, size in enumerate(sizes) if 0 < size < _LARGE_BYTES]
    parts = [[number] for number, size in enumerate(sizes) if size >= _LARGE_BYTES]
    parts += [small[at : at + _RANGES_A_CALL] for at in range(0, len(small), _RANGES_A_CALL)]

    def read(part: list[int]) -> None:
        spans = [ranges[number] for number in part]
        for number, content in zip(part, retried(url, partial(_read_part, url, store, path, spans)), strict=True):
            contents[number] = content

    _do_all(read, parts)
    return contents


def open_object(url: str, store: "Store", path: str) -> tuple[int, Callable[[int, memoryview], None]]:
    """The object's size in bytes, and a function that fills a buffer from a byte on, as long as it stays the same."""
    import obstore

    meta = retried(url, lambda: obstore.head(store, path))

    def fill(start: int, buffer: memoryview) -> None:
        options: Any = {"range": (start, start + len(buffer)), "if_match": meta["e_tag"]}

        def act() -> None:
            at = 0
            # In pieces that are dropped at once: a block in one piece costs as much again, in fresh memory.
            for piece in obstore.get(store, path, options=options).stream(min_chunk_size=_PIECE_BYTES):
                if at + len(piece) <= len(buffer):
                    buffer[at : at + len(piece)] = piece
                at += len(piece)
            require_length(url, start, start + len(buffer), at, lambda: meta["size"])

        retried(url, act)

    return meta["size"], fill


def _read_part(url: str, store: "Store", path: str, spans: list[tuple[int, int]]) -> list[bytes]:
    import obstore

    contents = _get_part(store, path, spans)
    for (start, end), content in zip(spans, contents, strict=True):
        require_length(url, start, end, len(content), lambda: int(obstore.head(store, path)["size"]))
    return contents


def _get_part(store: "Store", path: str, spans: list[tuple[int, int]]) -> list[bytes]:
    import obstore

    starts, ends = [start for start, _ in spans], [end for _, end in spans]
    if ends[0] - starts[0] < _LARGE_BYTES:
        try:
            # Left alone, it reads gaps of up to 1 MiB along.
            found = obstore.get_ranges(store, path, starts=starts, ends=ends, coalesce=0)
            return [bytes(content) for content in found]
        except BaseException as error:
            # It cuts what it got for neighbours without a look at the length, and a panic is no Exception.
            if not is_past_end(error) and type(error).__name__ != "PanicException":
                raise
            # At least one of them is past the end, or short, and the call does not say which.
    return [empty_past_end(partial(_get, store, path, span)) for span in spans]


def _get(store: "Store", path: str, span: tuple[int, int]) -> bytes:
    import obstore

    return b"".join(obstore.get(store, path, options={"range": span}).stream(min_chunk_size=_PIECE_BYTES))


def _do_all(read: Callable[[list[int]], None], parts: list[list[int]]) -> None:
    if len(parts) == 1:
        read(parts[0])
    elif parts:
        if os.getpid() not in _threads:
            _threads[os.getpid()] = ThreadPoolExecutor(_CALLS_AT_ONCE, thread_name_prefix="obstore")
        done = [_threads[os.getpid()].submit(read, part) for part in parts]
        # When one fails, the others must not go on trying behind the caller's back.
        wait(done)
        for future in done:
            future.result()
