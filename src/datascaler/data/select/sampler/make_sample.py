"""Scores -> a subset with repeats, drawn by a sampler; its recipe and its plan."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from datascaler import __version__, storage
from datascaler.data.plan.shard_rows import has_all_tables
from datascaler.data.pool.samples import OK
from datascaler.data.pool.shard_list import read_frozen_shards
from datascaler.data.pool.shards import Shard, pool_digest
from datascaler.data.pool.uids import sort_order, uid_pairs
from datascaler.data.select.sampler.sample_repeats import sample_repeats
from datascaler.data.select.score_source import find_score_id
from datascaler.data.select.select_subset import MadeSubset, publish_plan
from datascaler.data.subset.derived_subset import publish_derived
from datascaler.data.subset.multiset import first_of_each
from datascaler.data.subset.subset import read_recipe
from datascaler.data.tables.score_table import Footer, read_footer, read_table, table_url, tables_folder
from datascaler.errors import ConfigError
from datascaler.progress import progress
from datascaler.spec.sampler import Sampler


def make_sample(
    output_dir: str,
    sampler: Sampler,
    *,
    method: str,
    score_name: str | None = None,
    name: str | None = None,
    overwrite: bool = False,
) -> MadeSubset:
    """Draw from the pool that was scored into `output_dir`; every uid has one chance, that of its first usable row.

    Writes `<output_dir>/subsets/<name>.npy`, `.json` and `.plan`; the name defaults to
    `<method>-<sampler>-n<draws>-s<seed>`. Which uids are drawn depends on scores and seed only, not on how the pool is
    cut into shards. Needs some 50 bytes of memory a usable row while the uids are sorted.
    """
    shards = read_frozen_shards(output_dir)
    score_id = score_name or find_score_id(output_dir, method)
    folder = tables_folder(output_dir, score_id)
    if not has_all_tables(folder, shards):
        raise ConfigError(f"not every shard has scores in {folder} yet: finish `datascaler score` first")
    footer = read_footer(table_url(folder, shards[0]))
    if method != footer.method:
        raise ConfigError(f"{folder} holds scores of method {footer.method}, not {method}")
    name = name or f"{method}-{sampler.name}-n{sampler.draws}-s{sampler.seed}"
    base = storage.join(output_dir, "subsets", name)
    before = read_recipe(f"{base}.npy")
    if before and before.get("score_id") != footer.score_id and not overwrite:
        raise ConfigError(f"{base}.json is of the scores {before.get('score_id')}: choose a --subset-name")
    uids, scores = _distinct_scores([table_url(folder, shard) for shard in shards])
    with progress(sampler.draws, "sample") as bar:
        counts = sample_repeats(scores, sampler, bar.update)
    drawn = np.repeat(uids, counts)
    recipe = _recipe(sampler, name, footer, folder, shards, len(uids), counts)
    file = publish_derived(f"{base}.npy", drawn, recipe, overwrite=overwrite)
    plan, coverage = publish_plan(base, shards, folder, drawn)
    return MadeSubset(files=[file], plan=plan, recipe=recipe, coverage=coverage)


def _distinct_scores(tables: Sequence[str]) -> tuple[NDArray[np.void], NDArray[np.float32]]:
    """The uids of all usable rows, ascending, each once, and the scores of their first rows."""
    pairs, scores = [], []
    with progress(len(tables), "read", unit="table") as bar:
        for url in tables:
            table, _ = read_table(url, ["score", "status", "uid_high", "uid_low"])
            score = table["score"].to_numpy()
            usable = np.isfinite(score) & pc.equal(table["status"], OK).to_numpy()
            pairs.append(uid_pairs(table["uid_high"].to_numpy()[usable], table["uid_low"].to_numpy()[usable]))
            scores.append(score[usable])
            bar.update()
    together = np.concatenate(pairs)
    order = sort_order(together)
    ordered = together[order]
    first = first_of_each(ordered)
    return ordered[first], np.concatenate(scores)[order[first]]


def _recipe(
    sampler: Sampler,
    name: str,
    footer: Footer,
    tables: str,
    shards: list[Shard],
    usable: int,
    counts: NDArray[np.int64],
) -> dict[str, Any]:
    rule = "draw batches without replacement by softmax(score / temperature) of all usable uids; "
    if sampler.max_repeats is None:
        rule += "take the penalty off the score of each uid that was drawn"
    else:
        rule += "no uid is drawn more than max_repeats times"
    return {
        # What training names its run after.
        "method": name.lower(),
        "rule": f"{sampler.name}: {rule}",
        "penalty": sampler.penalty,
        "max_repeats": sampler.max_repeats,
        "batch_size": sampler.batch,
        "temperature": sampler.temperature,
        "seed": sampler.seed,
        "usable_uids": usable,
        "kept_uids": int(counts.sum()),
        "distinct_uids": int(np.count_nonzero(counts)),
        "most_repeated": int(counts.max()),
        "score_id": footer.score_id,
        "model": footer.model,
        "weights_hash": footer.weights_hash,
        "tables": tables,
        "pool_digest": pool_digest(shards),
        "code_version": __version__,
    }
