"""Draws -> samples: reads the blocks that a process needs, keeps what the plan keeps, a window ahead of its use."""

import io
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from datascaler import storage
from datascaler.data.order import Draw, Order, Segment, Window
from datascaler.data.plan import Plan
from datascaler.data.pool import Shard
from datascaler.data.samples import OK, Sample, read_samples
from datascaler.errors import BadInputError

_READ_THREADS = 8


@dataclass(slots=True)
class _Cursor:
    """Where a stream is: its window in hand, and the next one on its way."""

    epoch: int
    windows: Iterator[Window]
    window: Window
    samples: list[Sample]
    ahead: "Future[tuple[Window, list[Sample]] | None]"


class Reader:
    """Gives the samples of draws. A stream whose draws come in rising order is read once, ahead of its use."""

    def __init__(self, plan: Plan, shards: Sequence[Shard], order: Order) -> None:
        self._plan = plan
        self._shards = shards
        self._order = order
        self._cursors: dict[int, _Cursor] = {}
        self._blocks = ThreadPoolExecutor(_READ_THREADS, thread_name_prefix="read-block")
        self._ahead = ThreadPoolExecutor(_READ_THREADS, thread_name_prefix="read-ahead")

    def candidates(self, draw: Draw) -> Iterator[Sample]:
        """The sample of a draw, then its stand-ins should it not decode: the rest of its window, in order."""
        cursor = self._cursor_at(draw)
        at = draw.position - cursor.window.start
        shuffle = cursor.window.shuffle
        for step in range(len(shuffle)):
            yield cursor.samples[shuffle[(at + step) % len(shuffle)]]

    def close(self) -> None:
        self._ahead.shutdown(cancel_futures=True)
        self._blocks.shutdown(cancel_futures=True)

    def _cursor_at(self, draw: Draw) -> _Cursor:
        cursor = self._cursors.get(draw.stream)
        if cursor is None or cursor.epoch != draw.epoch or draw.position < cursor.window.start:
            cursor = self._cursors[draw.stream] = self._open(draw)
        while draw.position >= cursor.window.start + len(cursor.window.shuffle):
            loaded = cursor.ahead.result()
            assert loaded is not None, "a draw lies inside its stream's part of the epoch"
            cursor.window, cursor.samples = loaded
            cursor.ahead = self._ahead.submit(self._load_next, cursor.windows)
        return cursor

    def _open(self, draw: Draw) -> _Cursor:
        windows = self._order.windows(draw.epoch, draw.stream, draw.position)
        loaded = self._load_next(windows)
        assert loaded is not None, "a draw lies inside its stream's part of the epoch"
        return _Cursor(draw.epoch, windows, *loaded, ahead=self._ahead.submit(self._load_next, windows))

    def _load_next(self, windows: Iterator[Window]) -> tuple[Window, list[Sample]] | None:
        window = next(windows, None)
        if window is None:
            return None
        pieces = self._blocks.map(self._read_segment, window.segments)
        return window, [sample for piece in pieces for sample in piece]

    def _read_segment(self, segment: Segment) -> list[Sample]:
        block = self._plan.block(segment.block)
        shard = self._shards[block.shard]
        content = storage.read_bytes(shard.url, block.start, block.end)
        found = {sample.row: sample for sample in read_samples(io.BytesIO(content), block.start, block.first_row)}
        rows = self._plan.kept_rows(block.shard, block.first_row, block.end_row - block.first_row)
        # Every planned row was good when the plan was made, so one that is not means other bytes.
        wrong = next((row for row in rows if row not in found or found[row].status != OK), None)
        if wrong is not None:
            reason = found[wrong].status if wrong in found else "not there"
            place = f"row {wrong} in bytes {block.start}-{block.end}"
            raise BadInputError(f"{shard.url} has changed since it was planned: {place}: {reason}")
        return [found[row] for row in rows[segment.first : segment.last]]
