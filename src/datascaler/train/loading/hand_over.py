"""Parts of batches on their way out of a loader process: in shared memory, or through its pipe where that is small.

Containers often have 64 MB of shared memory (`/dev/shm`), a batch of pictures. torch hands tensors over by a thread of
the worker; what fails there is printed, and the training process would wait for the part for ever.
"""

import os
import pickle
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.queues import Queue
from typing import Any

from datascaler.output_streams import write_error

_AMPLE_BYTES = 1 << 30
"""With so much free, parts are not measured."""
_PARTS_A_WORKER = 4
"""Parts of a worker that may be in shared memory at once: two wait, one is made, one is in use."""


@dataclass(frozen=True, slots=True)
class _ByPipe:
    content: bytes


def handed_over(part: Any, workers: int) -> Any:
    """What a worker, one of so many, puts into its queue for a part."""
    free = _free_shared_memory()
    if free >= _AMPLE_BYTES:
        return part
    content = pickle.dumps(part)
    return part if free >= len(content) * workers * _PARTS_A_WORKER else _ByPipe(content)


def received(part: Any) -> Any:
    """The part that a worker put into its queue so."""
    return pickle.loads(part.content) if isinstance(part, _ByPipe) else part


def end_where_handing_over_fails() -> None:
    """Let this worker end when it can't hand a part over, so that whoever waits for it learns of that."""

    def end(error: Exception, _part: object) -> None:
        write_error(
            f"datascaler: error: a loader can't hand over its part of a batch ({error}): give /dev/shm more room "
            "(docker run --shm-size), or set --num-workers 0\n"
        )
        os._exit(1)

    Queue._on_queue_feeder_error = staticmethod(end)  # type: ignore[attr-defined]


def _free_shared_memory() -> int:
    with suppress(OSError):  # a system without one
        shared = os.statvfs("/dev/shm")
        return shared.f_bavail * shared.f_frsize
    return _AMPLE_BYTES
