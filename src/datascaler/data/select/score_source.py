"""Whose scores a subset is chosen by: one method's tables, random numbers in their place, or a mix of several."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datascaler import storage
from datascaler.data.pool.shards import Shard
from datascaler.data.select.joined_tables import JoinedTables
from datascaler.data.select.mixed_scores import MEASURE_PASSES, open_mix
from datascaler.data.select.scored_pool import RandomScores, ScoredPool, TableScores
from datascaler.data.tables.score_table import Footer, read_footer, score_folders, table_url, tables_folder
from datascaler.errors import ConfigError
from datascaler.spec.mix_rule import MixRule

RANDOM = "random"
"""A baseline that needs some method's tables for its uids, and ignores their scores."""


@dataclass(frozen=True, slots=True)
class ScoreSource:
    method: str
    """What the subset is named after."""
    score_id: str
    """Names exactly these scores."""
    shards: list[Shard]
    tables: str
    """Folder of tables that have every row's uid and place."""
    recipe: dict[str, Any]
    """What a subset's recipe says of its scores."""
    open: Callable[[Path, Callable[[], object]], ScoredPool]
    """Called with a scratch folder and a function that is called once a table and pass."""
    measure_passes: int = 0
    """How many passes opening takes."""


def one_source(output_dir: str, shards: list[Shard], method: str, score_name: str | None, seed: int) -> ScoreSource:
    """The scores of one method; `random` takes any method's tables. Raises ConfigError while shards are unscored."""
    score_id = score_name or find_score_id(output_dir, method)
    folder, urls, footer = _complete_tables(output_dir, score_id, shards)
    if method not in (RANDOM, footer.method):
        raise ConfigError(f"{folder} holds scores of method {footer.method}, not {method}")
    pool = RandomScores(urls, seed) if method == RANDOM else TableScores(urls)
    recipe: dict[str, Any] = {"seed": seed} if method == RANDOM else {}
    recipe |= _model_of(footer)
    return ScoreSource(method, footer.score_id, shards, folder, recipe, open=lambda _scratch, _on_table: pool)


def mixed_source(output_dir: str, shards: list[Shard], rule: MixRule) -> ScoreSource:
    """A mix of the scores that the rule names. Raises ConfigError while any of them lacks a shard."""
    found = {name: _complete_tables(output_dir, name, shards) for name in rule.weights}
    columns = {name: TableScores(urls) for name, (_, urls, _) in found.items()}
    joined = JoinedTables([shard.name for shard in shards], columns)
    inputs = [_input(name, footer, rule.weights[name]) for name, (_, _, footer) in found.items()]
    return ScoreSource(
        rule.method,
        rule.score_id,
        shards,
        tables=next(iter(found.values()))[0],
        recipe={"mix": {"kind": rule.kind, "rule": rule.words, "scores": inputs}},
        open=lambda scratch, on_table: open_mix(joined, rule, scratch, on_table),
        measure_passes=MEASURE_PASSES,
    )


def find_score_id(output_dir: str, method: str) -> str:
    """The one score-id of a method in an output folder; for `random`, any."""
    found = [storage.basename(url) for url in score_folders(output_dir)]
    fitting = [name for name in found if method == RANDOM or name.startswith(f"{method}-")]
    if not fitting:
        named = [name for name in found if _method_of(output_dir, name) == method]
        if named:
            names = " | ".join(named)
            raise ConfigError(f"the {method} scores in {output_dir} have a name of their own: add --score-name {names}")
        there = ", ".join(found) or "none"
        raise ConfigError(f"no {method} scores in {output_dir} (there: {there}): run `datascaler score` first")
    if len(fitting) > 1 and method != RANDOM:
        raise ConfigError(f"several {method} scores in {output_dir}: choose with --score-name {' | '.join(fitting)}")
    return fitting[0]


def _method_of(output_dir: str, score_id: str) -> str:
    """The method of the tables of a score-id, by the first one's footer; empty where none can be read."""
    for info in storage.list_files(tables_folder(output_dir, score_id), ".parquet", recursive=True)[:1]:
        with suppress(ConfigError):
            return read_footer(info.url).method
    return ""


def _complete_tables(output_dir: str, score_id: str, shards: list[Shard]) -> tuple[str, list[str], Footer]:
    """The folder of the tables, their URLs in the order of the shards, and the footer of the first."""
    folder = tables_folder(output_dir, score_id)
    wanted = [table_url(folder, shard) for shard in shards]
    there = {info.url for info in storage.list_files(folder, ".parquet", recursive=True)}
    missing = [url for url in wanted if url not in there]
    if missing:
        raise ConfigError(
            f"{len(missing)} of {len(wanted)} shards have no scores yet (first: {missing[0]}): "
            "finish `datascaler score`, or the fraction would not be of the whole pool"
        )
    return folder, wanted, read_footer(wanted[0])


def _input(name: str, footer: Footer, weight: float) -> dict[str, Any]:
    return {
        "score_id": name,
        "weight": weight,
        "method": footer.method,
        **_model_of(footer),
    }


def _model_of(footer: Footer) -> dict[str, str]:
    record = {"model": footer.model, "weights_hash": footer.weights_hash, "preprocess_hash": footer.preprocess_hash}
    return record | ({"unfinished": footer.unfinished} if footer.unfinished else {})
