"""What a sample costs, in each of several ways to score a pool."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from statistics import median

import open_clip
import torch
from datascaler.score.thread_wait import wait_briefly

from benchmarks.score_pool import write_pool
from datascaler.models.arch import register_configs


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
    """Every way runs in a process of its own. Neither imports nor loading count, nor a first batch to warm up."""
    home = folder / network.arch
    for pool, rows in (("warm-up", network.batch_size), ("pool", network.rows)):
        write_pool(home / pool, rows)
    _write_random_weights(network.arch, home / "weights.pt")
    return Costs([_turn(home, network, ways) for _ in range(turns)])


def _turn(home: Path, network: Network, ways: Sequence[str]) -> dict[str, float]:
    cost: dict[str, float] = {}
    for way in ways:
        used = _run(way, home, network)
        cost[f"{way}_ms"] = used["seconds"] * 1000 / network.rows
        cost[f"{way}_cpu_ms"] = used["cpu_seconds"] * 1000 / network.rows
    return cost


def scores_of(folder: Path, network: Network, way: str) -> dict[str, float]:
    """Key -> cosine, as the way's last run gave it."""
    return dict(json.loads((folder / network.arch / f"{way}.json").read_text()))


def _write_random_weights(arch: str, path: Path) -> None:
    torch.manual_seed(0)
    register_configs()
    torch.save(open_clip.create_model(arch, pretrained=None).state_dict(), path)


def _run(way: str, home: Path, network: Network) -> dict[str, float]:
    files = [str(home / name) for name in ("warm-up", "pool", f"{way}.json")]
    arguments = [way, *files, network.arch, str(home / "weights.pt"), str(network.batch_size)]
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.score_ways", *arguments]
    environment = dict(os.environ)
    if way == "pipeline":
        wait_briefly(environment)  # as the command does; the way's own process loads torch first
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return dict(json.loads(done.stdout))
