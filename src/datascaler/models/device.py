"""Which device a process computes on, and copies of tensors to it and back that wait for no other work.

Work on a device is a queue. What asks it for a number waits for all that is queued, and then it has nothing to do until
more comes; so copies are queued as well, from and to pinned memory, which is the only kind that allows it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from datascaler.errors import ConfigError


def choose_device(local_rank: int | None = None) -> torch.device:
    """This process's GPU, that of its rank on the node where it has one; the CPU where there is no GPU.

    Where a process sees a single GPU, it is its own, whatever its rank.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    if local_rank is None or torch.cuda.device_count() == 1:
        return torch.device("cuda")
    if local_rank >= torch.cuda.device_count():
        raise ConfigError(
            f"process {local_rank + 1} of this node has no GPU, there are {torch.cuda.device_count()}: "
            "start as many processes as GPUs"
        )
    return torch.device("cuda", local_rank)


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """The same on the device, as soon as its queue gets there."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()  # as it is, if it is pinned
    return tensor.to(device, non_blocking=True)


@dataclass(frozen=True, slots=True)
class Arriving:
    """Tensors on their way to the host."""

    _tensors: tuple[Tensor, ...]
    _arrived: torch.cuda.Event | None

    def wait(self) -> tuple[Tensor, ...]:
        """The tensors, once all work that they come from is done; what was queued after them may go on."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return self._tensors


def to_host(tensors: Sequence[Tensor]) -> Arriving:
    """Queue copies of tensors of one device."""
    copies = tuple(tensor.to("cpu", non_blocking=True) for tensor in tensors)
    if tensors[0].device.type != "cuda":
        return Arriving(copies, None)
    # A wait that spins would take a core from the decoders.
    arrived = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
    arrived.record(torch.cuda.current_stream(tensors[0].device))
    return Arriving(copies, arrived)
