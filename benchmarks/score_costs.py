"""What a sample costs, in each of several ways to score a pool."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import open_clip
import torch

from benchmarks.score_pool import write_pool
from datascaler.models.arch import register_configs


@dataclass(frozen=True)
class Network:
    """One with random weights, and the pools that it is measured on."""

    arch: str
    rows: tuple[int, int]
    """Of the short pool and of the long one."""
    batch_size: int


def costs(folder: Path, network: Network, ways: Sequence[str], turns: int) -> dict[str, float]:
    """Wall and CPU milliseconds a sample of each way: `<way>_ms`, `<way>_cpu_ms`.

    Every way runs in a process of its own, over a short pool and a long one, and what counts is the difference: neither
    imports nor loading nor filling the pipeline. Ways take turns; of each pool, a way's best turn counts.
    """
    home = folder / network.arch
    for pool, rows in zip(("short", "long"), network.rows, strict=True):
        write_pool(home / pool, rows)
    weights = home / "weights.pt"
    _write_random_weights(network.arch, weights)
    best: dict[tuple[str, str, str], float] = {}
    for _ in range(turns):
        for way in ways:
            for pool in ("short", "long"):
                used = _run(way, home / pool, home / f"{way}.json", network.arch, weights, network.batch_size)
                for field, value in used.items():
                    best[way, pool, field] = min(best.get((way, pool, field), value), value)
    more = network.rows[1] - network.rows[0]
    return {
        f"{way}_{name}": (best[way, "long", field] - best[way, "short", field]) * 1000 / more
        for way in ways
        for field, name in (("seconds", "ms"), ("cpu_seconds", "cpu_ms"))
    }


def scores_of(folder: Path, network: Network, way: str) -> dict[str, float]:
    """Key -> cosine, as the way's last run over the long pool gave it."""
    return dict(json.loads((folder / network.arch / f"{way}.json").read_text()))


def _write_random_weights(arch: str, path: Path) -> None:
    torch.manual_seed(0)
    register_configs()
    torch.save(open_clip.create_model(arch, pretrained=None).state_dict(), path)


def _run(way: str, pool: Path, out: Path, arch: str, weights: Path, batch_size: int) -> dict[str, float]:
    arguments = [way, str(pool), str(out), arch, str(weights), str(batch_size)]
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.score_ways", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout))
