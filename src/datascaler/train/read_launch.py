"""What started this process, by the variables that are set, all of them together, and what follows for a run."""

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from datascaler.errors import ConfigError
from datascaler.safe_text import shown
from datascaler.train.rank_variables import Ranks, number_of, other_ranks, torchrun_ranks

STARTED_BY = "DATASCALER_STARTED_BY"
"""Tells the processes of a run, for its record, what was understood."""
_PORTS = range(20_000, 30_000)
"""Where a port follows from a job's id: below the ports that Linux gives to those who ask for any."""
_HIGHEST_PORT = 65_535
_SLURM_SECONDS = 30
"""The time that Slurm's own tool has to expand a list of hosts."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What started this process, and what that makes of it."""

    kind: Literal["alone", "node", "rank"]
    """It is on its own; or it starts torchrun as the one process of its node; or it is a process of the run already."""
    summary: str
    variables: dict[str, str] = field(default_factory=dict)
    """Torchrun's, for what follows: PET_* on a node, RANK and the like for a rank."""


def read_launch(environ: Mapping[str, str], nproc_per_node: int = 1) -> Launch:
    """What the variables say, all of them together. Raises ConfigError, which names the variable that doesn't fit."""
    own = torchrun_ranks(environ)
    if own and "TORCHELASTIC_RUN_ID" in environ:
        return _as_rank(own, environ, nproc_per_node)  # whatever surrounds the torchrun that started this process
    found = ([own] if own else []) + other_ranks(environ)
    _require_agreement(found)
    if own is None and any(name.startswith("PET_") for name in environ):
        return _as_pet_node(environ, found[0] if found else None)
    if not found:
        return Launch("alone", "started by hand")
    if found[0].starter == "Slurm" and found[0].size == number_of(environ, "SLURM_STEP_NUM_NODES"):
        return _as_slurm_node(found[0], environ)
    node_sizes = [each.local_size for each in found if each.local_size is not None]
    return _as_rank(replace(found[0], local_size=node_sizes[0] if node_sizes else None), environ, nproc_per_node)


def _require_agreement(found: list[Ranks]) -> None:
    for each in found[1:]:
        first = found[0]
        if (each.rank, each.size) != (first.rank, first.size):
            raise ConfigError(
                f"{first.names[0]} is {first.rank} of {first.size}, and {each.names[0]} is {each.rank} of {each.size}: "
                f"unset the variables of {first.starter} or of {each.starter}"
            )


def _as_rank(ranks: Ranks, environ: Mapping[str, str], nproc_per_node: int) -> Launch:
    # A torchrun of one's own may well have been given the command line with which another is started.
    if nproc_per_node > 1 and (ranks.starter != "torchrun" or nproc_per_node != ranks.local_size):
        raise ConfigError(
            f"{ranks.names[0]} says that this is process {ranks.rank} of {ranks.size} already ({ranks.starter}), "
            f"but --nproc-per-node is {nproc_per_node}: leave it out, or start one process a node"
        )
    variables = {
        "RANK": f"{ranks.rank}",
        "WORLD_SIZE": f"{ranks.size}",
        "LOCAL_RANK": f"{ranks.local_rank}",
        **_meeting_point(ranks, environ),
    }
    if ranks.local_size is not None:
        variables["LOCAL_WORLD_SIZE"] = f"{ranks.local_size}"
    return Launch("rank", f"one of {ranks.size} processes, started by {ranks.starter}", variables)


def _as_slurm_node(ranks: Ranks, environ: Mapping[str, str]) -> Launch:
    where = _meeting_point(ranks, environ)
    return Launch(
        "node",
        f"one of {ranks.size} nodes, started by Slurm",
        {
            "PET_NNODES": f"{ranks.size}",
            "PET_NODE_RANK": f"{ranks.rank}",
            "PET_MASTER_ADDR": where["MASTER_ADDR"],
            "PET_MASTER_PORT": where["MASTER_PORT"],
        },
    )


def _as_pet_node(environ: Mapping[str, str], ranks: Ranks | None) -> Launch:
    nodes = environ.get("PET_NNODES", "1")
    if not re.fullmatch(r"[1-9]\d*(:[1-9]\d*)?", nodes):
        raise ConfigError(f"PET_NNODES is {nodes!r}: give a number of nodes, or MIN:MAX")
    most = int(nodes.rpartition(":")[2])
    if "PET_MASTER_PORT" in environ:
        _require_port("PET_MASTER_PORT", environ["PET_MASTER_PORT"])
    if ranks and ranks.size != most:
        raise ConfigError(
            f"PET_NNODES is {nodes}, but {ranks.names[1]} is {ranks.size}: start one process a node where PET_* is set"
        )
    if most > 1 and not environ.keys() & {"PET_RDZV_ENDPOINT", "PET_MASTER_ADDR"}:
        raise ConfigError(
            f"PET_NNODES is {nodes}, but neither PET_RDZV_ENDPOINT nor PET_MASTER_ADDR says where they meet"
        )
    if most > 1 and environ.get("PET_RDZV_BACKEND", "static") == "static" and "PET_NODE_RANK" not in environ:
        raise ConfigError(f"PET_NNODES is {nodes}, but PET_NODE_RANK does not say which of them this is")
    return Launch("node", f"one of {nodes} nodes, by PET_* variables")


def _meeting_point(ranks: Ranks, environ: Mapping[str, str]) -> dict[str, str]:
    address, port = environ.get("MASTER_ADDR"), environ.get("MASTER_PORT")
    if address is not None and not address.strip():
        raise ConfigError("MASTER_ADDR is empty: set it to the host of rank 0, or unset it")
    if port is not None:
        _require_port("MASTER_PORT", port)
    if address is None:
        if ranks.local_size == ranks.size:
            address = "127.0.0.1"
        elif ranks.starter == "Slurm":
            address = _first_host(environ)
        else:
            raise ConfigError(
                f"MASTER_ADDR is not set, and {ranks.starter} doesn't tell which host has rank 0: set it to that"
            )
    if port is None:
        if not ranks.job:
            raise ConfigError(f"MASTER_PORT is not set: set it to a free port of {address}, the same for all processes")
        port = str(_PORTS[sum(map(int, re.findall(r"\d+", ranks.job))) % len(_PORTS)])
    return {"MASTER_ADDR": address, "MASTER_PORT": port}


def _require_port(name: str, text: str) -> None:
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= _HIGHEST_PORT:
        raise ConfigError(f"{name} is {shown(text)}: set it to a port, from 1 to {_HIGHEST_PORT}, or unset it")


def _first_host(environ: Mapping[str, str]) -> str:
    """The first host of the list, by Slurm itself: lists have ranges and products."""
    nodes = environ.get("SLURM_STEP_NODELIST")
    if not nodes:
        raise ConfigError("SLURM_STEP_NODELIST is not set: set MASTER_ADDR to the host of the first task")
    try:
        listed = subprocess.run(
            ["scontrol", "show", "hostnames", nodes],
            capture_output=True,
            text=True,
            check=True,
            timeout=_SLURM_SECONDS,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigError(
            f"`scontrol show hostnames {nodes}` fails, so the first host is not known: set MASTER_ADDR to it"
        ) from error
    return listed.stdout.split()[0]
