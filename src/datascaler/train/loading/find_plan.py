"""The plan of a run: the one it is given, the one beside its subset, or one made now."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datascaler.data.plan.known_plan import given_plan, plan_beside, tables_of_recipe, url_beside
from datascaler.data.plan.make_plan import cached_plan
from datascaler.data.plan.plan import Plan, match_shards
from datascaler.data.plan.plan_file import open_plan
from datascaler.data.pool.shards import Shard, find_shards
from datascaler.data.subset.subset import read_recipe, read_subset
from datascaler.errors import ConfigError
from datascaler.spec.numbers import format_fraction, parse_fraction
from datascaler.spec.train import TrainSpec


def find_or_make_plan(spec: TrainSpec, say: Callable[[str], None] = lambda _: None) -> tuple[str, list[Shard]]:
    """The URL of the run's plan, and the pool's shards. A subset that does not fit is refused here, before training.

    It is `--plan`, else the plan beside the subset if it was made for just these uids and shards, else one made from
    (the first that is there) the score tables that the recipe names, the pool's index, the parquet files of DataComp's
    downloader beside the shards, or a pass over the shards. `say` is told what a plan was made from.
    """
    shards = find_shards(spec.data_dir)
    uids = read_wanted(spec)
    if spec.subset_file is None or uids is None:
        if spec.plan_file:
            match_shards(open_plan(spec.plan_file), shards)
        return spec.plan_file or _make(spec, shards, uids, say), shards
    if spec.plan_file:
        given_plan(spec.plan_file, spec.subset_file, uids, shards)
        return spec.plan_file, shards
    if plan_beside(spec.subset_file, uids, shards):
        return url_beside(spec.subset_file), shards
    return _make(spec, shards, uids, say), shards


def read_wanted(spec: TrainSpec) -> NDArray[np.void] | None:
    """The uids of the run's subset, `u8,u8`, ascending; None is the whole pool.

    Raises ConfigError where the run's method or fraction is another than the recipe's.
    """
    if spec.subset_file is None:
        return None
    recipe = read_recipe(spec.subset_file)
    if recipe:
        _check_recipe(spec, recipe)
    return read_subset(spec.subset_file)


def check_coverage(plan: Plan, spec: TrainSpec) -> str:
    """A sentence on how much of the subset this pool has. Raises ConfigError where it is too little."""
    present, wanted = plan.samples, plan.wanted
    if present == 0 and not plan.subset_digest:
        raise ConfigError(
            f"0 of {plan.rows:,} samples in {spec.data_dir} can be used: `datascaler pool check` says why"
        )
    sentence = f"{present:,} of {wanted:,} uids present in this pool ({present / max(1, wanted):.1%})"
    if present == 0:
        raise ConfigError(f"the subset {spec.subset_file} matches nothing in {spec.data_dir}: {sentence}")
    if present < spec.min_coverage * wanted:
        raise ConfigError(f"{sentence}, less than --min-coverage {spec.min_coverage:g}")
    return sentence


def _make(
    spec: TrainSpec,
    shards: list[Shard],
    uids: NDArray[np.void] | None,
    say: Callable[[str], None],
) -> str:
    tables = tables_of_recipe(spec.subset_file, shards) if spec.subset_file else None
    workers = max(1, spec.num_workers)
    return cached_plan(spec.output_dir, shards, uids, tables=tables, num_workers=workers, say=say)


def _check_recipe(spec: TrainSpec, recipe: dict[str, Any]) -> None:
    """--method and --fraction name the run; they must not say something else than the subset's own recipe."""
    method = recipe.get("method", spec.method)
    if spec.method != method:
        raise ConfigError(f"--method is {spec.method}, but {spec.subset_file} was chosen by {method}")
    chosen = parse_fraction(recipe["fraction"]) if "fraction" in recipe else spec.fraction
    if chosen is not None and spec.fraction != chosen:
        said = "not given" if spec.fraction is None else format_fraction(spec.fraction)
        raise ConfigError(f"--fraction is {said}, but {spec.subset_file} holds {format_fraction(chosen)}")
