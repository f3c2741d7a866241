"""Sums of gradients over the processes, which travel while the backward pass still computes others."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from datascaler.train.distributed import World

_BUCKET_ELEMENTS = 6 << 20
"""24 MB: so much that starting a sum is cheap beside it, so little that the first one starts early."""


@dataclass(slots=True, eq=False)
class _Bucket:
    flat: Tensor
    parts: list[tuple[nn.Parameter, Tensor]]
    """Each parameter with its part of `flat`, which is its gradient."""
    missing: int = 0
    """Gradients that the last backward pass has not reached yet."""
    sent: Any = None


class GradientSums:
    """The gradients of a model. They are parts of one global loss, so they are summed and nothing is averaged.

    With several processes they lie in a few flat buffers. One is sent as soon as the last backward pass of a step has
    filled it and all before it, so every rank sends the same ones in the same order, whatever its part of the batch.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], world: World) -> None:
        self._parameters = [parameter for parameter in parameters if parameter.requires_grad]
        # The last layers' gradients come first.
        self._buckets = _buckets(self._parameters[::-1]) if world.size > 1 else []
        self._bucket_of = {parameter: bucket for bucket in self._buckets for parameter, _ in bucket.parts}
        self._sent, self._is_last = 0, False
        for parameter in self._bucket_of:
            parameter.register_post_accumulate_grad_hook(self._note)  # type: ignore[no-untyped-call]

    def clear(self) -> None:
        """Begin a step: no parameter has a gradient."""
        for parameter in self._parameters:
            parameter.grad = None
        for bucket in self._buckets:
            bucket.flat.zero_()
            bucket.missing = len(bucket.parts)
            for parameter, part in bucket.parts:
                parameter.grad = part
        self._sent, self._is_last = 0, False

    def begin_last(self) -> None:
        """Say that the next backward pass is the last one of the step through any parameter that it reaches."""
        self._is_last = True

    def finish(self) -> None:
        """End a step: every gradient is the sum over the ranks. On a device it is that in the order of its queue."""
        while self._sent < len(self._buckets):
            self._send()
        for bucket in self._buckets:
            bucket.sent.wait()

    def _note(self, parameter: Tensor) -> None:
        if not self._is_last:
            return
        self._bucket_of[parameter].missing -= 1  # type: ignore[index]
        while self._sent < len(self._buckets) and not self._buckets[self._sent].missing:
            self._send()

    def _send(self) -> None:
        bucket = self._buckets[self._sent]
        bucket.sent = dist.all_reduce(bucket.flat, async_op=True)
        self._sent += 1


def _buckets(parameters: Iterable[nn.Parameter]) -> list[_Bucket]:
    buckets: list[_Bucket] = []
    members: list[nn.Parameter] = []
    for parameter in parameters:
        members.append(parameter)
        if sum(each.numel() for each in members) >= _BUCKET_ELEMENTS:
            buckets.append(_bucket(members))
            members = []
    return [*buckets, _bucket(members)] if members else buckets


def _bucket(members: list[nn.Parameter]) -> _Bucket:
    flat = torch.cat([torch.zeros_like(each).flatten() for each in members])
    parts = torch.split(flat, [each.numel() for each in members])
    return _Bucket(flat, [(each, part.view_as(each)) for each, part in zip(members, parts, strict=True)])
