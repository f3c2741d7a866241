"""Several processes as one: set-up, gathering of uneven parts, sums of gradients."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from datascaler.errors import DatascalerError, StoppedError, TryAgainError, first_line
from datascaler.models.device import choose_device
from datascaler.tools.waits import waiting_for
from datascaler.train.read_launch import read_launch

_Result = TypeVar("_Result")

_OTHERS = "the other processes of this run"
_TIMEOUT = timedelta(minutes=15)
"""A node that vanished without a word is given up after this: longer than a step or saving a checkpoint takes."""
_PATIENT_TIMEOUT = timedelta(hours=12)
"""The others wait this long while rank 0 indexes a pool that has no plan."""


@dataclass(frozen=True, slots=True)
class World:
    """This process among all."""

    rank: int
    size: int
    device: torch.device
    patient: Any = None
    """A process group: the same processes, who wait for one another for hours here; None waits as everywhere."""
    hosts: Any = None
    """A process group of their CPUs, where no device is waited for; None where there are no devices."""

    @property
    def is_main(self) -> bool:
        return self.rank == 0


@contextmanager
def joined_world() -> Iterator[World]:
    """The process group of what started this process, as `read_launch` has it; a world of one without it."""
    launch = read_launch(os.environ)
    os.environ.update(launch.variables if launch.kind == "rank" else {})
    device = choose_device(int(os.environ.get("LOCAL_RANK", "0")))
    has_gpu = device.type == "cuda"
    if has_gpu:
        torch.cuda.set_device(device)
    if launch.kind != "rank":
        yield World(rank=0, size=1, device=device)
        return
    with _lost_peers():
        with waiting_for(_OTHERS):
            dist.init_process_group("nccl" if has_gpu else "gloo", timeout=_TIMEOUT)
        patient = dist.new_group(backend="gloo", timeout=_PATIENT_TIMEOUT)
        hosts = dist.new_group(backend="gloo", timeout=_TIMEOUT) if has_gpu else None
        world = World(dist.get_rank(), dist.get_world_size(), device, patient, hosts)
        # After an error this rank just leaves: its exit code must reach torchrun before the others fail for want of a
        # peer.
        yield world
        # An elastic job counts as done when any worker exits with 0, so nobody does before rank 0 has published.
        wait_for_all(world)
        dist.destroy_process_group()


@contextmanager
def _lost_peers() -> Iterator[None]:
    """A process that is gone, whatever became of it, shows as an error of the next exchange with it."""
    try:
        yield
    except RuntimeError as error:
        # gloo has no class of its own for what goes wrong.
        if not isinstance(error, dist.DistError) and "gloo" not in str(error):
            raise
        raise TryAgainError(
            f"lost another process of this run ({first_line(error)}); the same command goes on"
        ) from error


def wait_for_all(world: World) -> None:
    if world.size > 1:
        with waiting_for(_OTHERS):
            dist.barrier()


def wait_to_leave(world: World) -> None:
    """Rank 0 publishes why all stop, and torchrun ends the others as soon as one has left. Who is gone has met all."""
    with suppress(RuntimeError):
        wait_for_all(world)


class _GatherRows(torch.autograd.Function):
    """Concatenate every rank's rows; the gradient of a row is the sum of what all ranks ask of it."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, counts: tuple[int, ...], rank: int) -> Tensor:
        ctx.counts, ctx.rank = counts, rank
        padded = rows.new_zeros((max(counts), *rows.shape[1:]))
        padded[: len(rows)] = rows
        gathered = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(gathered, padded)
        return torch.cat([part[:count] for part, count in zip(gathered, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        total = gradient.contiguous()
        dist.all_reduce(total)
        start = sum(ctx.counts[: ctx.rank])
        return total[start : start + ctx.counts[ctx.rank]], None, None


def gather_rows(rows: Tensor, world: World) -> tuple[Tensor, int]:
    """[n_rank, d] on each rank -> [sum of n_rank, d] on all, differentiable; and where this rank's rows start."""
    if world.size == 1:
        return rows, 0
    counts = tuple(count for (count,) in gather_numbers((len(rows),), world))
    return _GatherRows.apply(rows, counts, world.rank), sum(counts[: world.rank])


def gather_numbers(mine: tuple[int, ...], world: World) -> list[tuple[int, ...]]:
    """Everybody's numbers, by rank. Hosts wait for one another, and none for its device."""
    if world.size == 1:
        return [mine]
    sent = torch.tensor(mine)
    received = [torch.empty_like(sent) for _ in range(world.size)]
    with waiting_for(_OTHERS):
        dist.all_gather(received, sent, group=world.hosts)
    return [tuple(each.tolist()) for each in received]


def on_main(act: Callable[[], _Result], world: World) -> _Result:
    """What `act` returns on rank 0, on every rank, however long it takes. Where it fails for the user's reasons, it
    fails on every rank.
    """
    if world.size == 1:
        return act()
    box: list[Any] = [None]
    if world.is_main:
        try:
            box = [act()]
        except (DatascalerError, StoppedError) as error:
            box = [error]
    with waiting_for("process 0 of this run, which reads or writes for all"):
        dist.broadcast_object_list(box, src=0, group=world.patient)
    if isinstance(box[0], DatascalerError | StoppedError):
        raise box[0]
    result: _Result = box[0]
    return result


def sum_numbers(numbers: Tensor, world: World) -> Tensor:
    if world.size > 1:
        dist.all_reduce(numbers)
    return numbers
