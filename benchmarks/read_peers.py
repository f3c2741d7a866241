"""Other loaders on the same pool, each in its own environment and on the copy of the pool that it asks for."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.read_pool import random_rows
from benchmarks.read_process import require_all, run, run_way

SCRIPT = Path(__file__).parent / "peers" / "read_peer.py"
PASSES = 3
"""The last one counts: it finds the pool in the page cache, and its process warm."""


@dataclass(frozen=True)
class Peer:
    name: str
    python: Path
    """Of its environment."""
    fractions: Mapping[str, float]
    """Those that it is compared at, by their names."""
    at_most: float
    """Ours over its CPU."""

    @property
    def limits(self) -> dict[str, float]:
        return {f"vs_{self.name}_{fraction}": self.at_most for fraction in self.fractions}


def installed_peers(environments: Path) -> list[Peer]:
    """Those that have an environment; those that have none are named on stderr."""
    found = []
    for name, fractions, at_most in (("mosaic", {"f002": 0.02, "f040": 0.4}, 0.8), ("litdata", {"f100": 1.0}, 1.0)):
        peer = Peer(name, environments / name / "bin" / "python", fractions, at_most)
        if peer.python.exists():
            found.append(peer)
        else:
            sys.stderr.write(f"{name} is not measured: {environments / name} is not there (make bench-peers)\n")
    return found


def against_peers(folder: Path, peers: Sequence[Peer], rows: int, turns: int) -> dict[str, float]:
    """CPU of a kept sample by our plan over that by the peer, in the median of turns.

    The plans are those that `benchmarks.read.fractions` has made and read by, and the pool has so many rows.
    """
    result: dict[str, float] = {}
    for peer in peers:
        command, copy = [str(peer.python), str(SCRIPT), peer.name], str(folder / peer.name)
        subprocess.run([*command, "write", str(folder / "pool"), copy], stdout=subprocess.DEVNULL, check=True)
        for name, fraction in peer.fractions.items():
            kept = sorted(random_rows(rows, fraction))
            numbers = folder / f"{name}.rows.npy"
            np.save(numbers, kept)
            ours, theirs = [], []
            for _ in range(turns):
                read, seconds = run_way("datascaler-filtered", folder / "pool", folder / f"{name}.plan", PASSES)
                require_all("datascaler-filtered", read, len(kept))
                ours.append(seconds)
                read, seconds = run([*command, "read", copy, numbers, PASSES])
                require_all(peer.name, read, len(kept))
                theirs.append(seconds)
            result |= {
                f"{peer.name}_us_{name}": round(1e6 * median(theirs) / len(kept), 1),
                f"vs_{peer.name}_{name}": round(median(a / b for a, b in zip(ours, theirs, strict=True)), 2),
            }
    return result
