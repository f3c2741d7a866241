"""A run always has a plan: the one it is given, the one beside its subset, or one made now."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from datascaler import storage
from datascaler.data.build_plan import build_plan
from datascaler.data.index import index_pool
from datascaler.data.plan import Plan, match_shards, open_plan, write_plan
from datascaler.data.pool import Shard, find_shards, pool_digest
from datascaler.data.score_table import table_url
from datascaler.data.subset import read_recipe, read_subset, subset_digest
from datascaler.errors import ConfigError
from datascaler.spec.numbers import format_fraction, parse_fraction
from datascaler.spec.train import TrainSpec


def find_or_make_plan(spec: TrainSpec) -> tuple[str, list[Shard]]:
    """The URL of the run's plan, and the pool's shards. A subset that does not fit is refused here, before training."""
    shards = find_shards(spec.data_dir)
    if spec.subset_file is None:
        if spec.plan_file:
            match_shards(_read(spec.plan_file), shards)
        return spec.plan_file or _make(spec, shards, uids=None, recipe=None), shards
    recipe = read_recipe(spec.subset_file)
    if recipe:
        _check_recipe(spec, recipe)
    uids = read_subset(spec.subset_file)
    digest = subset_digest(uids)
    if spec.plan_file:
        plan = _read(spec.plan_file)
        match_shards(plan, shards)
        if plan.subset_digest != digest:
            raise ConfigError(f"the plan {spec.plan_file} was made for another subset than {spec.subset_file}")
        return spec.plan_file, shards
    beside = spec.subset_file.rpartition(".")[0] + ".plan"
    if storage.exists(beside) and _serves(_read(beside), digest, shards):
        return beside, shards
    return _make(spec, shards, uids, recipe), shards


def check_coverage(plan: Plan, spec: TrainSpec) -> str:
    """A sentence on how much of the subset this pool has. Raises ConfigError where it is too little."""
    present, wanted = plan.samples, plan.wanted
    sentence = f"{present:,} of {wanted:,} uids present in this pool ({present / max(1, wanted):.1%})"
    if present == 0:
        raise ConfigError(f"the subset {spec.subset_file} matches nothing in {spec.data_dir}: {sentence}")
    if present < spec.min_coverage * wanted:
        raise ConfigError(f"{sentence}, less than --min-coverage {spec.min_coverage:g}")
    return sentence


def _make(spec: TrainSpec, shards: list[Shard], uids: NDArray[np.void] | None, recipe: dict[str, Any] | None) -> str:
    """From the score tables that the subset was chosen by, or else from an index of the pool."""
    digest = subset_digest(uids) if uids is not None else "all"
    pool = pool_digest(shards)
    url = storage.join(spec.output_dir, "plans", f"{pool}-{digest}.plan")
    if not storage.exists(url):
        storage.check_writable(spec.output_dir)
        tables = recipe["tables"] if recipe and recipe.get("pool_digest") == pool else None
        if tables is None or not storage.exists(table_url(tables, shards[0])):
            tables = storage.join(spec.output_dir, "index", pool)
            index_pool(shards, tables, max(1, spec.num_workers))
        plan, _ = build_plan(shards, tables, uids)
        write_plan(url, plan)
    return url


def _read(url: str) -> Plan:
    with storage.local_copy(url) as path:
        return open_plan(path)


def _serves(plan: Plan, digest: str, shards: list[Shard]) -> bool:
    return plan.subset_digest == digest and plan.pool_digest == pool_digest(shards)


def _check_recipe(spec: TrainSpec, recipe: dict[str, Any]) -> None:
    """--method and --fraction name the run; they must not say something else than the subset's own recipe."""
    method, fraction = recipe.get("method", spec.method), recipe.get("fraction", spec.fraction)
    if spec.method != method:
        raise ConfigError(f"--method is {spec.method}, but {spec.subset_file} was chosen by {method}")
    chosen = parse_fraction(fraction)
    if spec.fraction != chosen:
        raise ConfigError(
            f"--fraction is {format_fraction(spec.fraction)}, but {spec.subset_file} holds {format_fraction(chosen)}"
        )
