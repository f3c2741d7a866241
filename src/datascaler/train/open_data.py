"""The data of a run: its plan, or the pool as a stream, ready for the loader workers of this process."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

from datascaler import storage
from datascaler.data.plan.plan import match_shards
from datascaler.data.plan.plan_file import map_plan
from datascaler.data.pool.shards import Shard, find_shards, is_copy, pool_digest
from datascaler.data.runs.run_folder import read_inputs, run_url
from datascaler.data.subset.subset import subset_digest
from datascaler.data.subset.uid_filter import UidFilter, save_filter
from datascaler.errors import ConfigError, StorageError
from datascaler.spec.train import TrainSpec
from datascaler.train.distributed import World, on_main
from datascaler.train.loading.find_plan import check_coverage, find_or_make_plan, read_wanted
from datascaler.train.loading.plan_source import Planned
from datascaler.train.loading.sample_source import Source
from datascaler.train.loading.stream_source import Unplanned, passes_of


@dataclass(frozen=True, kw_only=True, slots=True)
class RunData:
    source: Source
    inputs: dict[str, object]
    """What the run is made from, for run.json."""
    coverage: str
    """A sentence on how much of the subset is in the pool."""
    samples: int | None
    """Samples in an epoch; without a plan they are not known before the first is over."""
    passes: int = 1
    """Passes over the pool in an epoch, where there is no plan."""


@contextmanager
def opened_data(spec: TrainSpec, world: World, say: Callable[[str], None] = lambda _: None) -> Iterator[RunData]:
    """A subset or a plan that does not fit the pool is refused here, before anything is trained.

    `say` is told, on rank 0, what a plan was made from.
    """
    with ExitStack() as stack:
        if spec.no_plan:
            _require_one_node(world)
            yield on_main(lambda: _unplanned(spec, stack), world)
            return
        url, shards = on_main(lambda: find_or_make_plan(spec, say), world)
        path = stack.enter_context(storage.local_copy(url))
        plan = map_plan(path)
        coverage = check_coverage(plan, spec)
        matched = match_shards(plan, shards)
        yield RunData(
            source=Planned(plan_path=path, shards=matched, cache_dir=spec.cache_dir, cache_bytes=spec.cache_bytes),
            inputs={
                "pool_digest": on_main(lambda: _digest_of_start(spec, shards, plan.pool_digest), world),
                "subset_digest": plan.subset_digest,
                "order_digest": plan.order_digest,
            },
            coverage=coverage,
            samples=plan.samples,
        )


def _unplanned(spec: TrainSpec, stack: ExitStack) -> RunData:
    shards = find_shards(spec.data_dir)
    uids = read_wanted(spec)
    folder, passes = None, 1
    if uids is not None:
        folder = stack.enter_context(storage.temporary_folder())
        with storage.named_full_disk():
            save_filter(folder, uids)
        passes = passes_of(UidFilter(folder).most)
    wanted = "all samples" if uids is None else f"{len(uids):,} uids"
    inputs: dict[str, object] = {
        "pool_digest": _digest_of_start(spec, shards, pool_digest(shards)),
        "subset_digest": "" if uids is None else subset_digest(uids),
    }
    return RunData(
        source=Unplanned(shards=shards, filter_folder=folder),
        inputs=inputs | ({"passes": passes} if passes > 1 else {}),
        coverage=f"{wanted} wanted; without a plan it is not known how many this pool has",
        samples=None,
        passes=passes,
    )


def _digest_of_start(spec: TrainSpec, shards: Sequence[Shard], digest: str) -> str:
    """The pool's digest as run.json has it, where the run began with a copy of this pool, in another store perhaps."""
    if not storage.exists(storage.join(run_url(spec), "run.json")):
        return digest
    begun, inputs = read_inputs(run_url(spec))
    if inputs.get("pool_digest") != digest and begun.data_dir != spec.data_dir:
        # Where it began may be gone; then nobody can say that this is a copy.
        with suppress(StorageError, ConfigError):
            origin = find_shards(begun.data_dir)
            if pool_digest(origin) == inputs.get("pool_digest") and is_copy(origin, shards):
                return pool_digest(origin)
    return digest


def _require_one_node(world: World) -> None:
    if world.size > 1 and int(os.environ.get("LOCAL_WORLD_SIZE", "0")) < world.size:
        raise ConfigError(
            "--no-plan has every process read the whole pool, which is for one node, and this run has several: "
            "drop --no-plan"
        )
