"""An iterator that is run ahead in a thread of its own."""

import queue
import threading
from collections.abc import Generator, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from datascaler.tools.waits import waiting_for

_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class _Ended:
    error: BaseException | None


def run_ahead(items: Iterable[_Item], depth: int) -> Generator[_Item]:
    """The items, of which up to `depth` wait to be taken. An error comes in its place.

    A consumer that stops early does not wait for the thread, which may be inside a slow read: it ends by itself.
    """
    waiting: queue.Queue[_Item | _Ended] = queue.Queue(depth)
    stopped = threading.Event()

    def put(item: _Item | _Ended) -> None:
        while not stopped.is_set():
            with suppress(queue.Full):
                waiting.put(item, timeout=0.1)
                return

    def run() -> None:
        try:
            for item in items:
                put(item)
                if stopped.is_set():
                    return
        except BaseException as error:
            put(_Ended(error))
        else:
            put(_Ended(None))

    threading.Thread(target=run, name="read ahead", daemon=True).start()
    try:
        while not isinstance(item := _taken(waiting), _Ended):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stopped.set()


def _taken(waiting: "queue.Queue[_Item | _Ended]") -> "_Item | _Ended":
    with waiting_for("what is read ahead"):
        return waiting.get()
