"""A subset as tars of its own, in the layout of DataComp's resharder.

    OUT/00000000.tar            samples with all their members, keys UID-J: J counts the copies of a repeated uid
    OUT/00000000_stats.json     {"successes": samples, "inputs": digest of its making}. Written last: it is done
    OUT/sample_ids.npy          the subset
    OUT/sizes.json              {"00000000.tar": samples, ...}
    OUT/meta.json               what was asked and done. Written when all shards are there
    OUT/plans/, OUT/index/      the plan where the subset came without one, for a rerun

Samples keep the pool's order, copies side by side as DataComp's resharder has them. So whoever reads the tars in order
should shuffle them as a whole: a shuffle buffer leaves copies in one batch, where a plan draws them apart. A rerun
skips the shards that are finished.
"""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datascaler import __version__, storage
from datascaler.data.materialize.materialize_shard import SHARD_FORMAT, STATS_FORMAT, PlannedPool, write_output_shard
from datascaler.data.materialize.output_shards import OutputShard, output_shards
from datascaler.data.plan.known_plan import given_plan, plan_beside, tables_of_recipe
from datascaler.data.plan.make_plan import cached_plan
from datascaler.data.plan.plan import Plan, match_shards
from datascaler.data.plan.plan_file import open_plan
from datascaler.data.pool.shards import Shard, find_shards
from datascaler.data.subset.npy_format import write_npy
from datascaler.data.subset.subset import read_subset, subset_digest
from datascaler.errors import BadInputError, ConfigError, NotAsPlannedError
from datascaler.progress import progress
from datascaler.tools.ordered_map import in_order

MATERIALIZED_SAMPLES_PER_SHARD = 10_000
BYTES_PER_SHARD = 3e9
_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Materialized:
    output_dir: str
    shards: int
    shards_skipped: int
    """Finished by an earlier run."""
    samples: int
    """Repeats counted."""
    wanted: int
    """Uids of the subset, repeats counted; those that the pool has not are not among the samples."""


def materialize_subset(
    subset_url: str,
    data_dir: str,
    output_dir: str,
    *,
    plan_url: str | None = None,
    samples_per_shard: int = MATERIALIZED_SAMPLES_PER_SHARD,
    bytes_per_shard: float = BYTES_PER_SHARD,
    num_workers: int = 4,
    overwrite: bool = False,
) -> Materialized:
    """Write the samples of a subset below `output_dir`; each worker spools one shard to local disk.

    Raises ConfigError for a subset, plan or folder that does not fit, and BadInputError, after all other shards are
    done, where samples are not as they were planned.
    """
    for name, number in (("samples-per-shard", samples_per_shard), ("num-workers", num_workers)):
        if number < 1:
            raise ConfigError(f"{name} must be at least 1, got {number}")
    if output_dir.rstrip("/") in [source.rstrip("/") for source in data_dir.split("::")]:
        raise ConfigError(f"{output_dir} is the pool itself: choose another --output-dir")
    uids, shards = read_subset(subset_url), find_shards(data_dir)
    storage.check_writable(output_dir)
    plan = _plan(subset_url, uids, shards, plan_url, output_dir, num_workers)
    if not plan.samples:
        raise ConfigError(f"the subset {subset_url} matches nothing in {data_dir}")
    wanted = output_shards(plan, samples_per_shard, bytes_per_shard)
    finished = _finished(output_dir, wanted, overwrite=overwrite)
    pool = PlannedPool.of(plan, match_shards(plan, shards), uids)
    _write_missing(output_dir, pool, wanted, finished, num_workers)
    result = Materialized(output_dir, len(wanted), len(finished), plan.samples, plan.wanted)
    asked = {"subset": subset_url, "digest": subset_digest(uids), "data_dir": data_dir, "plan": plan_url}
    _write_tables(result, wanted, uids, asked)
    return result


def _plan(
    subset_url: str,
    uids: NDArray[np.void],
    shards: list[Shard],
    plan_url: str | None,
    output_dir: str,
    num_workers: int,
) -> Plan:
    if plan_url:
        return given_plan(plan_url, subset_url, uids, shards)
    beside = plan_beside(subset_url, uids, shards)
    if beside:
        return beside
    tables = tables_of_recipe(subset_url, shards)
    return open_plan(cached_plan(output_dir, shards, uids, tables=tables, num_workers=num_workers))


def _finished(output_dir: str, wanted: Sequence[OutputShard], *, overwrite: bool) -> set[int]:
    """The shards that need no work. What is there of another subset is refused, or removed if it may be overwritten."""
    present = {storage.basename(info.url) for info in storage.list_files(output_dir)}
    finished = set()
    for shard in wanted:
        name = STATS_FORMAT.format(shard.number)
        if name not in present:
            continue
        stats = storage.read_json(storage.join(output_dir, name))
        if isinstance(stats, dict) and stats.get("inputs") == shard.inputs:
            finished.add(shard.number)
        elif not overwrite:
            raise ConfigError(
                f"{storage.join(output_dir, name)} belongs to a shard made from another subset or other settings; "
                f"choose a new --output-dir, or add --overwrite"
            )
    leftovers = [
        name for name in sorted(present) if (found := re.match(r"\d{8,}", name)) and int(found[0]) >= len(wanted)
    ]
    if leftovers and not overwrite:
        raise ConfigError(
            f"{output_dir} holds {leftovers[0]}, but this subset ends with shard {len(wanted) - 1:08d}; "
            f"choose a new --output-dir, or add --overwrite to remove what is left over"
        )
    # Tables of another subset must not stand beside shards of this one while they are made.
    stale = [] if finished else sorted(present & {"meta.json", "sizes.json", "sample_ids.npy"})
    for name in [*leftovers, *stale]:
        storage.remove(storage.join(output_dir, name))
    return finished


def _write_missing(
    output_dir: str, pool: PlannedPool, wanted: Sequence[OutputShard], finished: set[int], num_workers: int
) -> None:
    missing = [shard for shard in wanted if shard.number not in finished]
    faults = []
    there = sum(shard.last - shard.first for shard in wanted if shard.number in finished)
    with progress(wanted[-1].last, "materialize", initial=there) as bar:
        write = partial(_fault_of, pool=pool, output_dir=output_dir)
        for shard, fault in zip(missing, in_order(write, missing, num_workers), strict=True):
            bar.update(shard.last - shard.first)
            if fault:
                faults.append(fault)
    if faults:
        more = f"; and {len(faults) - _EXAMPLES} more" if len(faults) > _EXAMPLES else ""
        raise BadInputError(
            f"{len(faults)} of {len(wanted)} shards were not written, for the pool is not as it was planned (make the "
            f"plan anew): {'; '.join(faults[:_EXAMPLES])}{more}"
        )


def _fault_of(shard: OutputShard, pool: PlannedPool, output_dir: str) -> str:
    """Write a shard; why that can't be done, if it can't."""
    try:
        write_output_shard(shard, pool, output_dir)
    except NotAsPlannedError as error:
        return str(error)
    return ""


def _write_tables(
    result: Materialized, wanted: Sequence[OutputShard], uids: NDArray[np.void], asked: dict[str, Any]
) -> None:
    with storage.publish(storage.join(result.output_dir, "sample_ids.npy")) as file:
        write_npy(file, uids)
    sizes = {SHARD_FORMAT.format(shard.number): shard.last - shard.first for shard in wanted}
    storage.publish_json(storage.join(result.output_dir, "sizes.json"), sizes)
    # The names that DataComp's training script looks up, and what was asked.
    of_datacomp = {
        "output_shard_count": len(wanted),
        "output_shard_format": SHARD_FORMAT,
        "output_count": result.samples,
    }
    meta = {**asked, **asdict(result), **of_datacomp, "code_version": __version__}
    storage.publish_json(storage.join(result.output_dir, "meta.json"), meta)
