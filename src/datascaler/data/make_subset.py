"""Scores -> a subset file, its recipe and its plan."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from datascaler import __version__, storage
from datascaler.data.build_plan import Coverage, build_plan
from datascaler.data.plan import write_plan
from datascaler.data.pool import Shard, pool_digest
from datascaler.data.score_table import Footer, read_footer, table_url
from datascaler.data.select import TIE_RULE, Selection, check_fraction, select_top
from datascaler.data.shard_list import read_frozen_shards
from datascaler.data.subset import FORMATS, read_recipe, write_subset
from datascaler.errors import ConfigError
from datascaler.progress import progress
from datascaler.spec.numbers import format_fraction

RANDOM = "random"
"""A baseline that needs some method's tables for its uids, and ignores their scores."""


@dataclass(frozen=True, slots=True)
class MadeSubset:
    files: list[str]
    plan: str
    recipe: dict[str, Any]
    coverage: Coverage


def make_subset(
    output_dir: str,
    *,
    method: str,
    fraction: Fraction,
    score_name: str | None = None,
    formats: tuple[str, ...] = ("npy", "pkl"),
    name: str | None = None,
    seed: int = 0,
) -> MadeSubset:
    """Keep the top `fraction` of the pool that was scored into `output_dir`.

    Writes `<output_dir>/subsets/<name>.npy`, `.pkl` or `.trie`, `.json` (the recipe) and `.plan`; the name defaults to
    `<method>-f<fraction>`. Raises ConfigError for a bad fraction or format, and while shards are unscored.
    """
    check_fraction(fraction)
    unknown = set(formats) - set(FORMATS)
    if unknown:
        raise ConfigError(f"unknown subset format {sorted(unknown)[0]!r}; known: {', '.join(FORMATS)}")
    shards = read_frozen_shards(output_dir)
    score_id = score_name or find_score_id(output_dir, method)
    folder = storage.join(output_dir, "scores", score_id)
    tables = _complete_tables(folder, shards)
    footer = read_footer(tables[0])
    if method not in (RANDOM, footer.method):
        raise ConfigError(f"{folder} holds scores of method {footer.method}, not {method}")
    name = name or f"{method}-f{format_fraction(fraction)}" + (f"-s{seed}" if method == RANDOM else "")
    base = storage.join(output_dir, "subsets", name)
    _refuse_other_scores(base, footer)
    with progress(3 * len(tables), "subset", unit="table") as bar:
        random_seed = seed if method == RANDOM else None
        selection = select_top(tables, fraction, random_seed, on_table=bar.update)
    plan, coverage = build_plan(shards, folder, selection.uids)
    recipe = _recipe(selection, method, fraction, footer, folder, shards)
    if method == RANDOM:
        recipe["seed"] = seed
    write_plan(f"{base}.plan", plan)
    files = write_subset(base, selection.uids, recipe, formats)
    return MadeSubset(files=files, plan=f"{base}.plan", recipe=recipe, coverage=coverage)


def find_score_id(output_dir: str, method: str) -> str:
    """The one score-id of a method in an output folder; for `random`, any."""
    found = [storage.basename(url) for url in storage.list_folders(storage.join(output_dir, "scores"))]
    fitting = [name for name in found if method == RANDOM or name.startswith(f"{method}-")]
    if not fitting:
        there = ", ".join(found) or "none"
        raise ConfigError(f"no {method} scores in {output_dir} (there: {there}): run `datascaler score` first")
    if len(fitting) > 1 and method != RANDOM:
        raise ConfigError(f"several {method} scores in {output_dir}: choose with --score-name {' | '.join(fitting)}")
    return fitting[0]


def _refuse_other_scores(base: str, footer: Footer) -> None:
    """The default name does not say which of a method's models chose; a subset of another is not overwritten."""
    recipe = read_recipe(f"{base}.npy")
    if recipe and recipe.get("score_id") != footer.score_id:
        raise ConfigError(
            f"{base}.json was made from the scores {recipe.get('score_id')}, not {footer.score_id}: "
            "choose a --subset-name"
        )


def _complete_tables(folder: str, shards: list[Shard]) -> list[str]:
    wanted = [table_url(folder, shard) for shard in shards]
    there = {info.url for info in storage.list_files(folder, ".parquet", recursive=True)}
    missing = [url for url in wanted if url not in there]
    if missing:
        raise ConfigError(
            f"{len(missing)} of {len(wanted)} shards have no scores yet (first: {missing[0]}): "
            "finish `datascaler score`, or the fraction would not be of the whole pool"
        )
    return wanted


def _recipe(
    selection: Selection, method: str, fraction: Fraction, footer: Footer, tables: str, shards: list[Shard]
) -> dict[str, Any]:
    return {
        "method": method,
        # As --fraction takes it: a decimal where that is exact, else a/b.
        "fraction": format_fraction(fraction).replace("-", "/"),
        "rule": "the floor(fraction x rows) best rows of the whole pool, bad rows never",
        "tie_rule": TIE_RULE,
        "threshold": selection.threshold,
        "rows": selection.rows,
        "usable": selection.usable,
        "kept_rows": selection.kept,
        "kept_uids": len(selection.uids),
        "ties": selection.ties,
        "kept_ties": selection.kept_ties,
        "score_id": footer.score_id,
        "model": footer.model,
        "weights_hash": footer.weights_hash,
        "tables": tables,
        "pool_digest": pool_digest(shards),
        "code_version": __version__,
    }
