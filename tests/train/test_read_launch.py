"""What started a run's processes: one consistent layout for all of them, or a refusal that names the variable."""

import random
from collections import Counter
from pathlib import Path

import pytest
import torch

from datascaler.errors import ConfigError
from datascaler.models.device import choose_device
from datascaler.train.read_launch import Launch, read_launch

Environ = dict[str, str]


class Job:
    """Processes on nodes, and what each starter would give them."""

    def __init__(self, per_node: list[int]) -> None:
        self.per_node = per_node
        self.size = sum(per_node)
        self.places = [(node, local) for node, count in enumerate(per_node) for local in range(count)]

    def torchrun(self, rank: int) -> Environ:
        return self.by_hand(rank) | {"GROUP_RANK": f"{self.places[rank][0]}", "TORCHELASTIC_RUN_ID": "none"}

    def by_hand(self, rank: int) -> Environ:
        """Torchrun's variables, as scripts export them."""
        node, local = self.places[rank]
        return {
            "RANK": f"{rank}",
            "WORLD_SIZE": f"{self.size}",
            "LOCAL_RANK": f"{local}",
            "LOCAL_WORLD_SIZE": f"{self.per_node[node]}",
            "MASTER_ADDR": "node0",
            "MASTER_PORT": "29500",
        }

    def slurm(self, rank: int) -> Environ:
        node, local = self.places[rank]
        return {
            "SLURM_JOB_ID": "123",
            "SLURM_STEP_ID": "0",
            "SLURM_STEP_NUM_TASKS": f"{self.size}",
            "SLURM_STEP_NUM_NODES": f"{len(self.per_node)}",
            "SLURM_STEP_TASKS_PER_NODE": ",".join(map(str, self.per_node)),
            "SLURM_STEP_NODELIST": f"node[0-{len(self.per_node) - 1}]",
            "SLURM_PROCID": f"{rank}",
            "SLURM_LOCALID": f"{local}",
            "SLURM_NODEID": f"{node}",
        }

    def open_mpi(self, rank: int) -> Environ:
        node, local = self.places[rank]
        return {
            "OMPI_COMM_WORLD_RANK": f"{rank}",
            "OMPI_COMM_WORLD_SIZE": f"{self.size}",
            "OMPI_COMM_WORLD_LOCAL_RANK": f"{local}",
            "OMPI_COMM_WORLD_LOCAL_SIZE": f"{self.per_node[node]}",
            "PMIX_NAMESPACE": "prterun-node0-4711@1",
        }

    def pmi(self, rank: int) -> Environ:
        node, local = self.places[rank]
        return {
            "PMI_RANK": f"{rank}",
            "PMI_SIZE": f"{self.size}",
            "MPI_LOCALRANKID": f"{local}",
            "MPI_LOCALNRANKS": f"{self.per_node[node]}",
        }

    def pets(self, rank: int) -> Environ:
        """What the operator of PyTorchJobs sets in the pods, one process a node."""
        return {
            "PET_NNODES": f"{self.size}",
            "PET_NODE_RANK": f"{rank}",
            "PET_MASTER_ADDR": "pod0",
            "PET_MASTER_PORT": "29400",
            "RANK": f"{rank}",
            "WORLD_SIZE": f"{self.size}",
        }


STARTERS = (Job.torchrun, Job.by_hand, Job.slurm, Job.open_mpi, Job.pmi, Job.pets)
VARIABLES = {"--nproc-per-node", *(name for starter in STARTERS for name in starter(Job([1]), 0))}


@pytest.fixture(autouse=True)
def slurm_lists_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`scontrol show hostnames` of a list that begins with node0."""
    program = tmp_path / "scontrol"
    program.write_text("#!/bin/sh\necho node0\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")


def require_one_layout(found: list[Launch], job: Job, nproc_per_node: int) -> None:
    """The processes that would come of it are a whole run's, each once."""
    assert len({each.kind for each in found}) == 1
    kind = found[0].kind
    if kind == "rank":
        ranks = [each.variables for each in found]
        assert [int(each["RANK"]) for each in ranks] == list(range(job.size))
        assert {each["WORLD_SIZE"] for each in ranks} == {f"{job.size}"}
        assert len({(each["MASTER_ADDR"], each["MASTER_PORT"]) for each in ranks}) == 1
        for each, (node, local) in zip(ranks, job.places, strict=True):
            # A LOCAL_RANK that is not set is guessed, which holds for nodes of equal size.
            assert int(each["LOCAL_RANK"]) == local or len(set(job.per_node)) > 1
            assert int(each.get("LOCAL_WORLD_SIZE", job.per_node[node])) == job.per_node[node]
        assert nproc_per_node == 1 or {nproc_per_node} == set(job.per_node)
    else:
        assert kind == "node"


def test_random_mixtures_are_one_run_or_refused_by_name() -> None:
    draw = random.Random(0)
    outcomes: Counter[str] = Counter()
    for _ in range(2000):
        job = Job([draw.randint(1, 3) for _ in range(draw.randint(1, 3))])
        if job.size == 1:
            continue
        environs: list[Environ] = [{} for _ in range(job.size)]
        chosen = draw.sample(STARTERS, draw.randint(1, 2))
        for starter in chosen:
            dropped = draw.choice(["", "", *starter(job, 0)])
            for rank, environ in enumerate(environs):
                environ.update({name: value for name, value in starter(job, rank).items() if name != dropped})
        # One variable, left in the shell by something else, for all processes alike.
        if draw.random() < 0.2:
            left = draw.choice(STARTERS)(Job([2]), 1)
            name = draw.choice(list(left))
            # What all processes of a set have alike where they should differ, none of them can see.
            if not any(name in starter(job, 0) for starter in chosen):
                for environ in environs:
                    environ[name] = left[name]
        nproc = draw.choice([1, 1, 2, 3])
        found: list[Launch] = []
        refusals: list[str] = []
        for environ in environs:
            try:
                found.append(read_launch(environ, nproc))
            except ConfigError as error:
                refusals.append(str(error))
        if refusals:
            # Whoever else goes on waits for them in vain, and says so; nobody trains alone.
            assert all(each.kind != "alone" for each in found)
            assert all(any(name in refusal for name in VARIABLES) for refusal in refusals), refusals
            outcomes["refused"] += 1
        else:
            require_one_layout(found, job, nproc)
            outcomes[found[0].kind] += 1
    assert min(outcomes[kind] for kind in ("rank", "node", "refused")) > 100, outcomes


@pytest.mark.parametrize(
    ("environ", "nproc_per_node", "message"),
    [
        ({"LOCAL_RANK": "0"}, 2, "LOCAL_RANK is set, but RANK is not: unset LOCAL_RANK, or start this with torchrun"),
        ({"RANK": "0"}, 1, "RANK is set, but WORLD_SIZE is not: unset RANK"),
        ({"RANK": "0", "WORLD_SIZE": "2"}, 1, "RANK is set, but MASTER_ADDR is not: unset RANK, WORLD_SIZE"),
        ({"PET_NNODES": "2"}, 1, "PET_NNODES is 2, but neither PET_RDZV_ENDPOINT nor PET_MASTER_ADDR says"),
        ({"PET_NNODES": "two"}, 1, "PET_NNODES is 'two': give a number of nodes, or MIN:MAX"),
        ({"PET_NNODES": "2", "PET_MASTER_ADDR": "a"}, 1, "PET_NNODES is 2, but PET_NODE_RANK does not say"),
        (Job([2]).slurm(1), 2, "SLURM_PROCID says that this is process 1 of 2 already (Slurm)"),
        (Job([2]).slurm(1) | Job([2]).by_hand(0), 1, "RANK is 0 of 2, and SLURM_PROCID is 1 of 2: unset the variables"),
        (Job([2, 2]).slurm(1) | {"PET_NNODES": "2"}, 1, "PET_NNODES is 2, but SLURM_STEP_NUM_TASKS is 4: start one"),
        ({"SLURM_PROCID": "1", "SLURM_NTASKS": "2"}, 1, "SLURM_PROCID is set, but SLURM_STEP_NUM_TASKS is not set"),
        (Job([2]).pmi(0), 1, "MASTER_PORT is not set: set it to a free port of 127.0.0.1, the same for all processes"),
        (Job([1, 1]).open_mpi(0), 1, "MASTER_ADDR is not set, and Open MPI doesn't tell which host has rank 0"),
        (Job([2, 1]).slurm(0) | {"SLURM_STEP_TASKS_PER_NODE": "2(x"}, 1, "SLURM_STEP_TASKS_PER_NODE is '2(x', which"),
        (Job([1]).by_hand(0) | {"MASTER_PORT": "abc"}, 1, "MASTER_PORT is 'abc': set it to a port, from 1 to 65535"),
        (Job([1]).by_hand(0) | {"MASTER_PORT": "99999"}, 1, "MASTER_PORT is '99999': set it to a port"),
        (Job([1]).by_hand(0) | {"MASTER_PORT": ""}, 1, "MASTER_PORT is '': set it to a port"),
        (Job([1]).by_hand(0) | {"MASTER_ADDR": " "}, 1, "MASTER_ADDR is empty: set it to the host of rank 0"),
        (Job([1]).by_hand(0) | {"WORLD_SIZE": "0"}, 1, "RANK is 0 of WORLD_SIZE 0"),
        (Job([1]).by_hand(0) | {"WORLD_SIZE": "9" * 5000}, 1, "WORLD_SIZE is '999"),
        ({"PET_NNODES": "1", "PET_MASTER_PORT": "abc"}, 1, "PET_MASTER_PORT is 'abc': set it to a port"),
        (Job([3]).slurm(2) | {"SLURM_PROCID": "3"}, 1, "SLURM_PROCID is 3 of SLURM_STEP_NUM_TASKS 3"),
    ],
)
def test_a_part_of_a_set_and_two_that_differ_are_refused(environ: Environ, nproc_per_node: int, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        read_launch(environ, nproc_per_node)
    assert str(error.value).startswith(message)


def test_a_batch_script_and_a_job_of_one_process_are_alone() -> None:
    batch = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}
    for environ in ({}, batch, Job([1]).slurm(0), Job([1]).open_mpi(0), Job([1]).pmi(0), {"MASTER_ADDR": "localhost"}):
        assert read_launch(environ, 2).kind == "alone"


def test_tasks_of_slurm_are_nodes_or_ranks() -> None:
    node = read_launch(Job([1, 1]).slurm(1), 4)
    assert (node.kind, node.summary) == ("node", "one of 2 nodes, started by Slurm")
    assert node.variables == {
        "PET_NNODES": "2",
        "PET_NODE_RANK": "1",
        "PET_MASTER_ADDR": "node0",
        "PET_MASTER_PORT": "20123",
    }
    rank = read_launch(Job([2, 1]).slurm(2))
    assert (rank.kind, rank.summary) == ("rank", "one of 3 processes, started by Slurm")
    assert rank.variables == Job([2, 1]).by_hand(2) | {"MASTER_PORT": "20123"}
    here = read_launch(Job([2]).slurm(1)).variables
    assert (here["MASTER_ADDR"], here["RANK"], here["LOCAL_RANK"]) == ("127.0.0.1", "1", "1")


def test_ranges_of_slurms_tasks_per_node() -> None:
    environ = Job([2, 2, 2, 1]).slurm(5) | {"SLURM_STEP_TASKS_PER_NODE": "2(x3),1"}
    assert read_launch(environ).variables["LOCAL_WORLD_SIZE"] == "2"
    assert (
        read_launch(environ | {"SLURM_PROCID": "6", "SLURM_LOCALID": "0", "SLURM_NODEID": "3"}).variables[
            "LOCAL_WORLD_SIZE"
        ]
        == "1"
    )


@pytest.mark.parametrize(
    ("gpus", "local_rank", "device"), [(4, 3, "cuda:3"), (1, 3, "cuda"), (4, None, "cuda"), (0, 3, "cpu")]
)
def test_a_process_takes_its_own_gpu(
    gpus: int, local_rank: int | None, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert str(choose_device(local_rank)) == device
    if gpus > 1:
        with pytest.raises(ConfigError, match="process 5 of this node has no GPU, there are 4"):
            choose_device(4)
