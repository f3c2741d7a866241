"""Scores -> a subset file, its recipe and its plan."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datascaler import __version__, storage
from datascaler.data.plan.compile_plan import Coverage, build_plan
from datascaler.data.plan.plan_file import write_plan
from datascaler.data.pool.shard_list import read_frozen_shards
from datascaler.data.pool.shards import Shard, pool_digest
from datascaler.data.select.score_source import RANDOM, ScoreSource, mixed_source, one_source
from datascaler.data.select.select import Selection, select
from datascaler.data.subset.subset import FORMATS, read_recipe, write_subset
from datascaler.data.tables.datacomp_metadata import is_metadata
from datascaler.errors import ConfigError
from datascaler.progress import progress
from datascaler.spec.mix_rule import MixRule
from datascaler.spec.numbers import format_fraction, parse_fraction
from datascaler.spec.select_rule import SelectRule

LARGEST_SET = 50_000_000
"""Uids in a `.pkl` or `.trie`, which are made of Python strings in memory: some 10 GB at this size."""
_SETS = ("pkl", "trie")


@dataclass(frozen=True, slots=True)
class MadeSubset:
    files: list[str]
    plan: str | None
    """None where DataComp's metadata was scored: training makes the plan when it sees the pool's tars."""
    recipe: dict[str, Any]
    coverage: Coverage | None
    """None where there is no plan."""


def select_subset(
    output_dir: str,
    *,
    method: str | None = None,
    score_name: str | None = None,
    mix: str | None = None,
    weights: Mapping[str, float] | None = None,
    fraction: Fraction | float | str | None = None,
    top: int | None = None,
    threshold: float | None = None,
    compat: str | None = None,
    formats: Sequence[str] = ("npy", "pkl"),
    name: str | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> MadeSubset:
    """Keep the best rows of the pool that was scored into `output_dir`, by one `method`'s scores or by a `mix`.

    Which rows is decided over the whole pool and exactly: ties go to the smaller uids, and rows without a score are
    never kept. Writes `<output_dir>/subsets/<name>.npy` (and other formats), `.json` (the recipe) and `.plan`. Takes
    less than half a GB of memory, 9 bytes more a kept uid for the plan, and 32 bytes a kept row of local disk, below
    TMPDIR.

    Args:
        method: whose scores: `clip`, `dfn`, ...; `random` ignores the scores and draws by `seed`.
        score_name: which tables, if the method has several: the name of their folder below `<output_dir>/scores`.
        mix: in place of `method`: `zscore`, the weighted sum of z-scores, or `rank`, the weighted mean of ranks.
        weights: of a mix: score name -> weight; a negative weight reverses that column.
        fraction: the part of all rows to keep, above 0 and at most 1; exact: 0.3 is 3/10, and "1/3" is allowed.
        top, threshold: in place of `fraction`: the best so many rows, or all rows that score at least this.
        compat: `datacomp` keeps all ties at the threshold of a fraction, as DataComp's own script does.
        formats: of `npy`, `pkl`, `trie`, `txt` and `parquet`.
        name: of the files; by default `<method>-f<fraction>`, `-top<rows>` or `-t<threshold>`.
        overwrite: replace a subset of that name which was chosen otherwise, in all its formats.

    Returns the files, the plan's URL, the recipe (with `kept_rows`, `threshold`, ...) and the coverage.

    Raises ConfigError for contradicting or unknown choices, while shards are unscored, and where nothing would be kept.

    Example:
        >>> made = select_subset("scored", method="clip", fraction=0.25)
        >>> made.recipe["kept_rows"], made.recipe["rows"]
        (6, 24)
        >>> len(read_subset(made.files[0]))
        6
    """
    rule = SelectRule(
        fraction=None if fraction is None else parse_fraction(fraction), top=top, threshold=threshold, compat=compat
    )
    unknown = set(formats) - set(FORMATS)
    if unknown:
        raise ConfigError(f"unknown subset format {sorted(unknown)[0]!r}; known: {', '.join(FORMATS)}")
    source = _source(output_dir, method, score_name, _mix_rule(mix, weights), seed)
    shards = source.shards
    base = storage.join(output_dir, "subsets", name or _default_name(source.method, rule, seed))
    if not overwrite:
        _refuse_another_choice(base, source, rule)
    with storage.scratch_folder() as scratch:
        with progress((source.measure_passes + rule.passes) * len(shards), "subset", unit="table") as bar:
            pool = source.open(scratch, bar.update)
            selection = select(
                pool, rule, scratch, on_table=bar.update, check_size=lambda rows: _refuse_large_sets(rows, formats)
            )
        uids = selection.uids
        recipe = _recipe(selection, rule, source, len(uids))
        plan_url, coverage = publish_plan(base, shards, source.tables, uids)
        files = write_subset(base, uids, recipe, formats)
    return MadeSubset(files=files, plan=plan_url, recipe=recipe, coverage=coverage)


def publish_plan(
    base: str, shards: list[Shard], tables: str, uids: NDArray[np.void]
) -> tuple[str | None, Coverage | None]:
    """Write `<base>.plan` for a pool of tars; None for a pool of metadata, which knows of no tar."""
    if any(is_metadata(shard) for shard in shards):
        return None, None
    plan, coverage = build_plan(shards, tables, uids)
    write_plan(f"{base}.plan", plan)
    return f"{base}.plan", coverage


def _mix_rule(mix: str | None, weights: Mapping[str, float] | None) -> MixRule | None:
    if mix is None and weights:
        raise ConfigError(f"weights ({', '.join(weights)}) belong to a mix: say mix='zscore' or mix='rank'")
    return MixRule(mix, weights or {}) if mix else None


def _source(output_dir: str, method: str | None, score_name: str | None, mix: MixRule | None, seed: int) -> ScoreSource:
    shards = read_frozen_shards(output_dir)
    if mix is None and method is not None:
        return one_source(output_dir, shards, method, score_name, seed)
    if mix is None or method is not None or score_name is not None:
        raise ConfigError("give a method (and its score name, if it has several) or a mix of scores, not both")
    return mixed_source(output_dir, shards, mix)


def _default_name(method: str, rule: SelectRule, seed: int) -> str:
    return f"{method}-{rule.short_name}" + (f"-s{seed}" if method == RANDOM else "")


def _refuse_another_choice(base: str, source: ScoreSource, rule: SelectRule) -> None:
    """The default name does not say which of a method's models chose, and one that is given says nothing: a subset that
    was chosen otherwise is not overwritten.
    """
    recipe = read_recipe(f"{base}.npy")
    if not recipe:
        return
    if recipe.get("score_id") != source.score_id:
        raise ConfigError(
            f"{base}.json was made from the scores {recipe.get('score_id')}, not {source.score_id}: "
            "choose a --subset-name"
        )
    asked = {"method": source.method, "seed": source.recipe.get("seed"), **_asked(rule)}
    for name, value in asked.items():
        if recipe.get(name) != value:
            raise ConfigError(
                f"{base}.json is of another choice: {name} is {recipe.get(name)} there and {value} now; choose another "
                "--subset-name, or add --overwrite"
            )


def _asked(rule: SelectRule) -> dict[str, Any]:
    """The rule in the words of a recipe. Where it is no fraction, the recipe has one that came of it."""
    asked = {"top": rule.top, "asked_threshold": rule.threshold, "compat": rule.compat}
    return asked | ({} if rule.fraction is None else {"fraction": _fraction_text(rule.fraction)})


def _fraction_text(fraction: Fraction) -> str:
    """The fraction as --fraction takes it: a decimal where that is exact, else a/b."""
    return format_fraction(fraction).replace("-", "/")


def _refuse_large_sets(rows: int, formats: Sequence[str]) -> None:
    sets = [name for name in formats if name in _SETS]
    if sets and rows > LARGEST_SET:
        raise ConfigError(
            f"{rows:,} uids are too many for .{sets[0]}, which is made of Python strings in memory (at most "
            f"{LARGEST_SET:,}): use --formats npy, which training reads as well"
        )


def _recipe(selection: Selection, rule: SelectRule, source: ScoreSource, kept_uids: int) -> dict[str, Any]:
    # What training names its runs after: a top or a threshold keeps a fraction too.
    fraction = rule.fraction or Fraction(selection.kept, selection.rows)
    return {
        "method": source.method,
        "fraction": _fraction_text(fraction),
        **rule.recipe,
        "threshold": selection.threshold,
        "rows": selection.rows,
        "usable": selection.usable,
        "kept_rows": selection.kept,
        "kept_uids": kept_uids,
        "ties": selection.ties,
        "kept_ties": selection.kept_ties,
        "score_id": source.score_id,
        **source.recipe,
        "tables": source.tables,
        "pool_digest": pool_digest(source.shards),
        "code_version": __version__,
    }
