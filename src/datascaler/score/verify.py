"""Proving finished tables: a random sample of their rows, read again by byte range, scored again, and compared."""

import io
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from datascaler import storage
from datascaler.data.pool import Shard, require_unchanged
from datascaler.data.samples import DAMAGED_TAR, Sample, read_samples
from datascaler.data.score_table import Footer, read_listed_footer, read_table, table_url
from datascaler.data.uids import join_uid
from datascaler.errors import BadInputError, ConfigError
from datascaler.models.load import load_clip
from datascaler.score.naming import score_id_of
from datascaler.score.part import my_shards, tables_folder
from datascaler.score.shard import score_samples
from datascaler.spec.score import ScoreSpec

VERIFIABLE = ("clip", "dfn")
TOLERANCES = {"": 1e-4, "float32": 1e-4}
"""By the precision that a footer records; float32 sums in another order differ by some 1e-6."""
REDUCED_TOLERANCE = 2e-2
"""Of bfloat16 and float16, whose products have 8 to 11 bits."""
_EXAMPLES = 5
_COLUMNS = ("uid_high", "uid_low", "offset", "length", "status", "score")

Rescore = Callable[[list[Sample]], list[float]]
"""Scores of samples in their order, NaN where one is bad; then its status says so."""


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


def verify(spec: ScoreSpec, rows: int, *, seed: int = 0, tolerance: float | None = None) -> VerifySummary:
    """Score a sample of `rows` rows of this worker's finished tables again. Nothing is written.

    tolerance: greatest absolute difference; by default that of the tables' precision.

    Raises BadInputError, naming shards and rows, where scores, statuses or uids differ; ConfigError where no table is
    there, or it holds other work.
    """
    if spec.method not in VERIFIABLE:
        raise ConfigError(f"--verify scores samples again for --method {' or '.join(VERIFIABLE)}, not {spec.method}")
    shards = my_shards(spec)
    clip = load_clip(spec.model, spec.pretrained)
    score_id = spec.score_name or score_id_of(spec.method, clip)
    wanted = {"method": spec.method, "weights_hash": clip.weights_hash, "preprocess_hash": clip.preprocess_hash}
    with ThreadPoolExecutor(spec.num_workers) as executor:

        def rescore(samples: list[Sample]) -> list[float]:
            return [score for _, scores in score_samples(samples, clip, spec.batch_size, executor) for score in scores]

        summary = verify_tables(
            tables_folder(spec.output_dir, score_id), shards, wanted, rescore, rows, seed, tolerance
        )
    if summary.wrong:
        raise BadInputError(
            f"{len(summary.wrong)} of {summary.rows} rows of {summary.tables} are not what scoring them again gives: "
            + "; ".join(summary.wrong[:_EXAMPLES])
        )
    return summary


def verify_tables(
    folder: str,
    shards: Sequence[Shard],
    wanted: dict[str, str],
    rescore: Rescore,
    rows: int,
    seed: int,
    tolerance: float | None,
) -> VerifySummary:
    """The comparison. `wanted` has the footers' fields that say whether it is the same work."""
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
        _require_same_work(done[table][1].url, footers[table], wanted)
        differences += _verify_shard(summary, done[table][0], footers[table], mine, rescore, tolerance)
    if differences:
        summary.max_difference, summary.mean_difference = max(differences), sum(differences) / len(differences)
    return summary


def _require_same_work(url: str, footer: Footer, wanted: dict[str, str]) -> None:
    for name, value in wanted.items():
        if getattr(footer, name) != value:
            raise ConfigError(f"{url} holds other work: {name} is {getattr(footer, name)!r}, not {value!r}")


def _verify_shard(
    summary: VerifySummary,
    shard: Shard,
    footer: Footer,
    rows: list[int],
    rescore: Rescore,
    tolerance: float | None,
) -> list[float]:
    """The absolute differences of the rows that have a score both times."""
    require_unchanged(shard, storage.stat(shard.url))
    recorded = read_table(table_url(summary.tables, shard), _COLUMNS)[0].take(rows).to_pylist()
    comparable = [(row, was) for row, was in zip(rows, recorded, strict=True) if was["status"] != DAMAGED_TAR]
    ranges = [(was["offset"], was["offset"] + was["length"]) for _, was in comparable]
    pieces = zip(comparable, storage.read_ranges(shard.url, ranges), strict=True)
    samples = [next(read_samples(io.BytesIO(piece), was["offset"], row)) for (row, was), piece in pieces]
    scores = rescore(samples)
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
