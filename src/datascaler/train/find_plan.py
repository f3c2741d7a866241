"""A run always has a plan: the one it is given, the one beside its subset, or one made now."""

from datascaler import storage
from datascaler.data.build_plan import build_plan
from datascaler.data.index import index_pool
from datascaler.data.plan import Plan, match_shards, open_plan, write_plan
from datascaler.data.pool import Shard, find_shards, pool_digest
from datascaler.data.subset import read_recipe, read_subset, subset_digest
from datascaler.errors import ConfigError
from datascaler.spec.numbers import format_fraction, parse_fraction
from datascaler.spec.train import TrainSpec


def find_or_make_plan(spec: TrainSpec) -> tuple[str, list[Shard]]:
    """The URL of the run's plan, and the pool's shards. A subset that does not fit is refused here, before training."""
    shards = find_shards(spec.data_dir)
    _check_recipe(spec)
    if spec.plan_file:
        match_shards(_read(spec.plan_file), shards)
        return spec.plan_file, shards
    if spec.subset_file is None:
        return _make(spec, shards, tables=None), shards
    beside = spec.subset_file.rpartition(".")[0] + ".plan"
    digest = subset_digest(read_subset(spec.subset_file))
    if storage.exists(beside) and _serves(_read(beside), digest, shards):
        return beside, shards
    recipe = read_recipe(spec.subset_file)
    return _make(spec, shards, tables=recipe["tables"] if recipe and _same_pool(recipe, shards) else None), shards


def check_coverage(plan: Plan, spec: TrainSpec) -> str:
    """A sentence on how much of the subset this pool has. Raises ConfigError where it is too little."""
    present, wanted = plan.samples, plan.wanted
    sentence = f"{present:,} of {wanted:,} uids present in this pool ({present / max(1, wanted):.1%})"
    if present == 0:
        raise ConfigError(f"the subset {spec.subset_file} matches nothing in {spec.data_dir}: {sentence}")
    if present < spec.min_coverage * wanted:
        raise ConfigError(f"{sentence}, less than --min-coverage {spec.min_coverage:g}")
    return sentence


def _make(spec: TrainSpec, shards: list[Shard], tables: str | None) -> str:
    uids = read_subset(spec.subset_file) if spec.subset_file else None
    digest = subset_digest(uids) if uids is not None else "all"
    pool = pool_digest(shards)
    url = storage.join(spec.output_dir, "plans", f"{pool}-{digest}.plan")
    if not storage.exists(url):
        if tables is None:
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


def _same_pool(recipe: dict[str, object], shards: list[Shard]) -> bool:
    return recipe.get("pool_digest") == pool_digest(shards) and "tables" in recipe


def _check_recipe(spec: TrainSpec) -> None:
    """--method and --fraction name the run; they must not say something else than the subset's own recipe."""
    recipe = read_recipe(spec.subset_file) if spec.subset_file else None
    if recipe is None:
        return
    if spec.method != recipe["method"]:
        raise ConfigError(f"--method is {spec.method}, but {spec.subset_file} was chosen by {recipe['method']}")
    chosen = parse_fraction(recipe["fraction"])
    if spec.fraction != chosen:
        raise ConfigError(
            f"--fraction is {format_fraction(spec.fraction)}, but {spec.subset_file} holds {format_fraction(chosen)}"
        )
