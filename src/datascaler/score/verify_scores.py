"""Proving finished tables: a random sample of their rows, read again by byte range, scored again, and compared."""

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from datascaler import storage
from datascaler.data.pool.samples import DAMAGED_TAR, Sample, read_samples
from datascaler.data.pool.shard_list import read_frozen_shards
from datascaler.data.pool.shards import Shard, require_unchanged
from datascaler.data.pool.uids import join_uid
from datascaler.data.tables.score_table import Footer, read_listed_footer, read_table, table_url, tables_folder
from datascaler.errors import BadInputError, ConfigError
from datascaler.score.pipeline.decoders import decoders
from datascaler.score.pipeline.prepare_samples import preparation_for
from datascaler.score.pipeline.score_batches import score_samples
from datascaler.score.scorer import load_work
from datascaler.score.worker_shards import my_shards
from datascaler.spec.score import ScoreSpec

TOLERANCES = {"": 1e-4, "float32": 1e-4}
"""The tolerance for each precision that a footer records; float32 sums in another order differ by some 1e-6."""
REDUCED_TOLERANCE = 2e-2
"""The tolerance of bfloat16 and float16, whose products have 8 to 11 bits."""
_EXAMPLES = 5
_COLUMNS = ("uid_high", "uid_low", "offset", "length", "status", "score")

Rescore = Callable[[Shard, list[Sample]], list[float]]
"""Scores of samples of a shard, in their order, NaN where one is bad; then its status says so."""


@dataclass(kw_only=True, slots=True)
class VerifySummary:
    """How far tables and a second computation agree."""

    score_id: str
    tables: str
    """Folder of the score tables."""
    shards: int = 0
    """Tables that rows were drawn from."""
    rows: int = 0
    """Compared."""
    not_comparable: int = 0
    """Rows where the tar itself is damaged: there is no sample to read again."""
    max_difference: float = 0.0
    mean_difference: float = 0.0
    """Absolute, over the rows that have a score both times."""
    wrong: list[str] = field(default_factory=list)
    """Shard, row, and what differs."""


def verify_scores(spec: ScoreSpec, rows: int, *, seed: int = 0, tolerance: float | None = None) -> VerifySummary:
    """Score a sample of `rows` rows of this worker's finished tables again. Nothing is written.

    tolerance: greatest absolute difference; by default that of the tables' precision.

    Raises BadInputError, naming shards and rows, where scores, statuses or uids differ; ConfigError where no table is
    there, or it holds other work.
    """
    read_frozen_shards(spec.output_dir)  # to verify is not to begin
    work, shards = load_work(spec), my_shards(spec)
    with decoders(preparation_for(work.clip, work.edit), spec.num_workers, in_processes=False) as workers:

        def rescore(shard: Shard, samples: list[Sample]) -> list[float]:
            on_file = work.edit.notes(shard) if work.edit else None
            notes = None if on_file is None else [on_file[sample.row] for sample in samples]
            batches = score_samples(samples, work.clip, spec.batch_size, workers, notes)
            return [score for _, scores in batches for score in scores]

        folder = tables_folder(spec.output_dir, work.score_id)
        summary = verify_tables(folder, shards, work.footer, rescore, rows, seed, tolerance)
    if not summary.rows:
        raise BadInputError(
            f"0 rows of {summary.tables} could be compared: {summary.not_comparable:,} lie where a tar is damaged"
        ).after(summary)
    if summary.wrong:
        raise BadInputError(
            f"{len(summary.wrong)} of {summary.rows} rows of {summary.tables} are not what scoring them again gives: "
            + "; ".join(summary.wrong[:_EXAMPLES])
        ).after(summary)
    return summary


def verify_tables(
    folder: str,
    shards: Sequence[Shard],
    wanted: Callable[[Shard], Footer],
    rescore: Rescore,
    rows: int,
    seed: int,
    tolerance: float | None,
) -> VerifySummary:
    """The comparison. `wanted` gives the footer that a shard's table has if it is the same work."""
    summary = VerifySummary(score_id=storage.basename(folder), tables=folder)
    there = {info.url: info for info in storage.list_files(folder, ".parquet", recursive=True)}
    done = [(shard, there[url]) for shard in shards if (url := table_url(folder, shard)) in there]
    if not done:
        raise ConfigError(f"no tables of these shards in {folder}: run `datascaler score` without --verify first")
    footers = [read_listed_footer(info) for _, info in done]
    ends = np.cumsum([footer.rows for footer in footers])
    chosen = np.random.default_rng(seed).choice(ends[-1], size=min(rows, int(ends[-1])), replace=False)
    differences: list[float] = []
    for table in np.unique(np.searchsorted(ends, chosen, side="right")).tolist():
        first = int(ends[table]) - footers[table].rows
        mine = np.sort(chosen[(chosen >= first) & (chosen < ends[table])] - first).tolist()
        shard, info = done[table]
        require_unchanged(shard)
        if difference := footers[table].difference(wanted(shard), shard.url):
            raise ConfigError(f"{info.url} holds other work: {difference}")
        differences += _verify_shard(summary, shard, footers[table], mine, rescore, tolerance)
    if differences:
        summary.max_difference, summary.mean_difference = max(differences), sum(differences) / len(differences)
    return summary


def _verify_shard(
    summary: VerifySummary,
    shard: Shard,
    footer: Footer,
    rows: list[int],
    rescore: Rescore,
    tolerance: float | None,
) -> list[float]:
    """The absolute differences of the rows that have a score both times."""
    recorded = read_table(table_url(summary.tables, shard), _COLUMNS)[0].take(rows).to_pylist()
    comparable = [(row, was) for row, was in zip(rows, recorded, strict=True) if was["status"] != DAMAGED_TAR]
    ranges = [(was["offset"], was["offset"] + was["length"]) for _, was in comparable]
    pieces = zip(comparable, storage.read_ranges(shard.url, ranges), strict=True)
    samples = [next(read_samples(io.BytesIO(piece), was["offset"], row, shard.name)) for (row, was), piece in pieces]
    scores = rescore(shard, samples)
    limit = tolerance if tolerance is not None else TOLERANCES.get(footer.precision, REDUCED_TOLERANCE)
    differences = []
    for (row, was), sample, score in zip(comparable, samples, scores, strict=True):
        place = f"{shard.name} row {row}"
        difference = abs(score - was["score"])
        if sample.uid != (was["uid_high"], was["uid_low"]):
            summary.wrong.append(f"{place}: uid {join_uid(*sample.uid)}, recorded with another")
        elif sample.status != was["status"]:
            summary.wrong.append(f"{place}: {sample.status!r}, recorded as {was['status']!r}")
        elif difference > limit:
            summary.wrong.append(f"{place}: {score:.6f}, recorded as {was['score']:.6f}")
        elif math.isnan(score) != math.isnan(was["score"]):
            summary.wrong.append(f"{place}: {score}, recorded as {was['score']}")
        if not math.isnan(difference):
            differences.append(difference)
    summary.shards += 1
    summary.rows += len(comparable)
    summary.not_comparable += len(rows) - len(comparable)
    return differences
