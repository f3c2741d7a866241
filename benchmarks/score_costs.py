"""What a sample costs, in each of several ways to score a pool."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from statistics import median

import open_clip
import torch

from benchmarks.score_pool import write_pool
from datascaler.models.arch import register_configs

Process = subprocess.Popen[str]


@dataclass(frozen=True)
class Network:
    """One with random weights, and the size of the pool that it is measured on."""

    arch: str
    rows: int
    batch_size: int


class Costs:
    """Of the ways, by turn: a machine's speed drifts, so ways are compared within a turn."""

    def __init__(self, turns: Sequence[Mapping[str, float]]) -> None:
        """What a sample costs in each turn: `<way>_ms` by the clock, `<way>_cpu_ms` of all cores."""
        self._turns = turns

    def median_of(self, of: Callable[[Mapping[str, float]], float]) -> float:
        """The median over turns."""
        return round(median(map(of, self._turns)), 3)

    def medians(self, prefix: str) -> dict[str, float]:
        return {f"{prefix}_{name}": self.median_of(itemgetter(name)) for name in self._turns[0]}


def costs(folder: Path, network: Network, ways: Sequence[str], turns: int) -> Costs:
    """Every way has a process of its own, which waits while another one works.

    Neither imports nor loading count, nor a first run of each to warm up.
    """
    home = folder / network.arch
    for pool, rows in (("warm-up", network.batch_size), ("pool", network.rows)):
        write_pool(home / pool, rows)
    _write_random_weights(network.arch, home / "weights.pt")
    with ExitStack() as stack:
        started = {way: stack.enter_context(_process(way, home, network)) for way in ways}
        for way in ways:
            _run(started[way], home / "warm-up")
        return Costs([_turn(started, home / "pool", network.rows, turn) for turn in range(turns)])


def _turn(started: Mapping[str, Process], pool: Path, rows: int, turn: int) -> dict[str, float]:
    cost: dict[str, float] = {}
    # Every other turn goes backwards: no way is always the one on a machine that has warmed up.
    for way in list(started)[:: -1 if turn % 2 else 1]:
        used = _run(started[way], pool)
        cost[f"{way}_ms"] = used["seconds"] * 1000 / rows
        cost[f"{way}_cpu_ms"] = used["cpu_seconds"] * 1000 / rows
    return cost


def scores_of(folder: Path, network: Network, way: str) -> dict[str, float]:
    """Key -> cosine, as the way's last run gave it."""
    return dict(json.loads((folder / network.arch / f"{way}.json").read_text()))


def _write_random_weights(arch: str, path: Path) -> None:
    torch.manual_seed(0)
    register_configs()
    torch.save(open_clip.create_model(arch, pretrained=None).state_dict(), path)


def _process(way: str, home: Path, network: Network) -> Process:
    """As a context manager it closes the process's stdin, which ends it, and waits."""
    arguments = [way, home / f"{way}.json", network.arch, home / "weights.pt", network.batch_size]
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.score_ways", *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _run(process: Process, pool: Path) -> dict[str, float]:
    if process.stdin is None or process.stdout is None:
        raise AssertionError("it was started with pipes")
    process.stdin.write(f"{pool}\n")
    process.stdin.flush()
    return dict(json.loads(process.stdout.readline()))
