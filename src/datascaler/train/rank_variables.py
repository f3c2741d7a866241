"""The sets of variables that say which of several processes one is: torchrun's, Slurm's, Open MPI's and PMI's.

A set is used whole. Stray variables are found in many a shell, so a part of a set is refused by name.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from datascaler.errors import ConfigError
from datascaler.safe_text import shown

_LONGEST_NUMBER = 12
"""Digits; Slurm's numbers of jobs have up to ten."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """What one starter says of this process."""

    starter: str
    rank: int
    size: int
    local_rank: int
    local_size: int | None
    """Processes on its node; None where it is not said."""
    names: tuple[str, str]
    """The variables of rank and size."""
    job: str = ""
    """What its processes have in common, and those of another job have not."""


def torchrun_ranks(environ: Mapping[str, str]) -> Ranks | None:
    """What torchrun gives the processes it starts. An operator gives pods RANK and WORLD_SIZE too, beside PET_*."""
    marks = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK")
    stray = [name for name in marks if name in environ]
    if not stray or (any(name.startswith("PET_") for name in environ) and "LOCAL_RANK" not in environ):
        return None
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        if name not in environ:
            raise ConfigError(
                f"{stray[0]} is set, but {name} is not: unset {', '.join(stray)}, or start this with torchrun or with "
                "--nproc-per-node"
            )
    rank, size = number_of(environ, "RANK"), number_of(environ, "WORLD_SIZE")
    local_size = number_of(environ, "LOCAL_WORLD_SIZE") if "LOCAL_WORLD_SIZE" in environ else None
    local_rank = number_of(environ, "LOCAL_RANK", rank % max(local_size or size, 1))
    return _checked(Ranks("torchrun", rank, size, local_rank, local_size, ("RANK", "WORLD_SIZE")))


def other_ranks(environ: Mapping[str, str]) -> list[Ranks]:
    """What Slurm, Open MPI and PMI say; one of them may have started the other. Raises ConfigError, by name."""
    return [ranks for ranks in (_slurm_ranks(environ), *_mpi_ranks(environ)) if ranks]


def _slurm_ranks(environ: Mapping[str, str]) -> Ranks | None:
    """The tasks of an `srun` with several. A batch script is no such task, although it has a SLURM_PROCID."""
    marks = [name for name in environ if name.startswith("SLURM_STEP_")]
    if environ.get("SLURM_PROCID", "0") != "0":
        marks.append("SLURM_PROCID")
    if not marks or number_of(environ, "SLURM_STEP_NUM_TASKS", because_of=marks[0]) == 1:
        return None
    size, nodes = number_of(environ, "SLURM_STEP_NUM_TASKS"), number_of(environ, "SLURM_STEP_NUM_NODES")
    rank, local_rank, node = (number_of(environ, f"SLURM_{name}") for name in ("PROCID", "LOCALID", "NODEID"))
    local_size = size if nodes == 1 else 1 if nodes == size else _tasks_of_node(environ, node)
    job = f"{number_of(environ, 'SLURM_JOB_ID')}.{number_of(environ, 'SLURM_STEP_ID', 0)}"
    names = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS")
    return _checked(Ranks("Slurm", rank, size, local_rank, local_size, names, job))


def _tasks_of_node(environ: Mapping[str, str], node: int) -> int:
    """The node's count in SLURM_STEP_TASKS_PER_NODE, where `2(x3),1` is 2, 2, 2, 1."""
    text = environ.get("SLURM_STEP_TASKS_PER_NODE", "")
    if re.fullmatch(r"\d+(\(x\d+\))?(,\d+(\(x\d+\))?)*", text):
        counts = [
            int(count) for count, times in re.findall(r"(\d+)(?:\(x(\d+)\))?", text) for _ in range(int(times or 1))
        ]
        if node < len(counts):
            return counts[node]
    raise ConfigError(f"SLURM_STEP_TASKS_PER_NODE is {text!r}, which does not say how many tasks node {node} has")


def _mpi_ranks(environ: Mapping[str, str]) -> Iterator[Ranks | None]:
    yield _ranks_of(
        environ,
        "Open MPI",
        "OMPI_COMM_WORLD_RANK",
        "OMPI_COMM_WORLD_SIZE",
        "OMPI_COMM_WORLD_LOCAL_RANK",
        "OMPI_COMM_WORLD_LOCAL_SIZE",
        environ.get("PMIX_NAMESPACE", environ.get("OMPI_MCA_ess_base_jobid", "")),
    )
    # Slurm's own PMI says nothing of the node, and its rank and size stand in Slurm's variables.
    if number_of(environ, "SLURM_STEP_NUM_TASKS", 1) == 1 or "MPI_LOCALRANKID" in environ:
        yield _ranks_of(environ, "PMI", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS", "")


def _ranks_of(environ: Mapping[str, str], starter: str, *names: str) -> Ranks | None:
    *names_of_numbers, job = names
    there = [name for name in names_of_numbers if name in environ]
    if not there:
        return None
    for name in names_of_numbers:
        if name not in environ:
            raise ConfigError(
                f"{there[0]} is set, but {name} is not: unset {starter}'s variables, or start with it anew"
            )
    rank, size, local_rank, local_size = (number_of(environ, name) for name in names_of_numbers)
    if size == 1:
        return None
    return _checked(Ranks(starter, rank, size, local_rank, local_size, (names[0], names[1]), job))


def _checked(ranks: Ranks) -> Ranks:
    name, size_name = ranks.names
    local_size = ranks.size if ranks.local_size is None else ranks.local_size
    if not (ranks.rank < ranks.size and ranks.local_rank < local_size <= ranks.size):
        raise ConfigError(
            f"{name} is {ranks.rank} of {size_name} {ranks.size}, and {ranks.local_rank} of {local_size} on its node: "
            "these do not go together"
        )
    return ranks


def number_of(environ: Mapping[str, str], name: str, default: int | None = None, because_of: str = "") -> int:
    """A variable's whole number. because_of: a variable that stands beside it in its set."""
    text = environ.get(name)
    if text is None and default is not None:
        return default
    if text is None or not (text.isascii() and text.isdigit()) or len(text) > _LONGEST_NUMBER:
        fault = f"{name} is {'not set' if text is None else shown(text)}"
        if because_of and because_of != name:
            fault = f"{because_of} is set, but {fault}"
        raise ConfigError(f"{fault}: it should say, as a whole number, which of several processes this is")
    return int(text)
