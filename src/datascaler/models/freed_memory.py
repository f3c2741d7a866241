"""Freed memory that stays with the process: a model on the CPU asks for the same blocks again at every batch.

It changes the allocator of the whole process, so a command decides it for its own, and the library never does.
"""

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
"""Numbers of the options in glibc's malloc.h."""
_ALL = 2**31 - 1


def keep_freed_memory_on_cpu() -> None:
    """Have this process keep its freed memory, unless its models are on an accelerator."""
    import torch

    if not torch.cuda.is_available():
        keep_freed_memory()


def keep_freed_memory() -> None:
    """glibc gives large blocks back at once, and the system clears each page when it is asked for again.

    Other allocators are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, _ALL)
