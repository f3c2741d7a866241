"""Pool and filter: histograms of scores with what was kept, samples to look at, bad samples, overlaps of subsets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datascaler import storage
from datascaler.data.pool.samples import OK
from datascaler.data.select.describe_subset import overlaps
from datascaler.data.subset.subset import base_of, read_recipe, read_subset
from datascaler.data.tables.scoring_progress import find_score_runs
from datascaler.errors import ConfigError, StorageError
from datascaler.report.blocks import Gallery, PageBlock, Section, Table, Text, number, share, words
from datascaler.report.charts import stacked_bars
from datascaler.report.gallery import pictures_of
from datascaler.report.pool_tables import ScoredTables, scored_tables

LARGEST_SUBSET = 512 << 20
"""Bytes of a subset file that is read to say what it kept."""
_MOST_SUBSETS = 8
"""That are drawn and compared."""
_BINS = 60
_MOST_BAD = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadSubset:
    """A subset with its recipe."""

    url: str
    label: str
    recipe: Mapping[str, Any]
    uids: NDArray[np.void] | None
    """Ascending; None where it was not read."""
    unread: str = ""
    """Why not."""


def read_subsets(files: Sequence[storage.FileInfo]) -> list[ReadSubset]:
    """Those that have a recipe of ours; another .json beside a file of such a name makes it none."""
    found = []
    for info in files:
        try:
            recipe = read_recipe(info.url)
        except (ConfigError, StorageError) as error:
            found.append(_unread(info.url, {}, str(error)))
            continue
        if recipe is None:
            continue
        if info.size > LARGEST_SUBSET or sum(each.uids is not None for each in found) >= _MOST_SUBSETS:
            found.append(_unread(info.url, recipe, f"only {_MOST_SUBSETS} files of up to 512 MB are read"))
            continue
        try:
            label = storage.basename(base_of(info.url))
            found.append(ReadSubset(url=info.url, label=label, recipe=recipe, uids=read_subset(info.url)))
        except (ConfigError, StorageError) as error:
            found.append(_unread(info.url, recipe, str(error)))
    return found


def _unread(url: str, recipe: Mapping[str, Any], why: str) -> ReadSubset:
    return ReadSubset(url=url, label=storage.basename(base_of(url)), recipe=recipe, uids=None, unread=why)


def pool_section(folders: Sequence[str], subsets: Sequence[ReadSubset], pictures: int) -> Section | None:
    blocks: list[PageBlock] = []
    made: list[ScoredTables] = []
    for folder in folders:
        try:
            made += scored_tables(folder)
            blocks.append(_progress(folder, len(blocks)))
        except (ConfigError, StorageError) as error:
            blocks.append(Text(text=f"{folder} can't be read: {error}"))
    for number_, tables in enumerate(made):
        blocks += _blocks_of(tables, subsets, pictures, number_)
    if subsets:
        blocks.append(_subset_table(subsets))
    read = [each for each in subsets if each.uids is not None]
    if len(read) > 1:
        blocks.append(_overlap_table(read))
    return Section(name="pool", title="Pool and filter", blocks=blocks) if blocks else None


def _progress(folder: str, place: int) -> Table:
    runs = find_score_runs(folder, counts=False)
    rows = [
        [
            words(run.score_id),
            number(run.done),
            number(run.wanted),
            number(len(run.unreadable)),
            words(run.newest or "-"),
        ]
        for run in runs
    ]
    columns = ["scores", "shards done", "of", "damaged tables", "newest table"]
    return Table(name=f"scoring-{place}", title=f"Scoring into {folder}", columns=columns, rows=rows)


def _blocks_of(tables: ScoredTables, subsets: Sequence[ReadSubset], pictures: int, place: int) -> list[PageBlock]:
    blocks: list[PageBlock] = []
    for url, reason in tables.faults.items():
        blocks.append(Text(text=f"{url} can't be read: {reason}"))
    of_scores = [each for each in subsets if each.recipe.get("score_id") == tables.score_id]
    if len(tables.scores):
        for at, subset in enumerate(of_scores or [None]):
            blocks.append(_histogram(tables, subset, f"scores-{place}-{at}"))
        if pictures:
            threshold = next((value for each in of_scores if (value := _threshold(each)) is not None), None)
            blocks += _galleries(tables, threshold, pictures)
    if tables.statuses.total() > len(tables.scores):
        blocks.append(_bad_table(tables, place))
        if pictures:
            shown = tables.bad[:_MOST_BAD]
            blocks.append(Gallery(title="An example of each kind of bad sample", pictures=pictures_of(shown)))
    return blocks


def _histogram(tables: ScoredTables, subset: ReadSubset | None, name: str) -> Any:
    edges = np.histogram_bin_edges(tables.scores, _BINS)
    title, of = f"Scores by {tables.score_id}", f"Of {tables.denominator}."
    if subset is None or subset.uids is None:
        counts = np.histogram(tables.scores, edges)[0]
        parts = {"scored": counts.tolist()}
        kept_told = "" if subset is None else f" What {subset.label} keeps is not drawn: {subset.unread}."
    else:
        kept = tables.kept_by(subset.uids)
        parts = {
            "kept": np.histogram(tables.scores[kept], edges)[0].tolist(),
            "dropped": np.histogram(tables.scores[~kept], edges)[0].tolist(),
        }
        title += f", kept in {subset.label}"
        kept_told = f" {subset.label} keeps {int(kept.sum()):,} of them ({kept.mean():.1%})."
    return stacked_bars(name, title, of + kept_told, edges.tolist(), parts, "score")


def _galleries(tables: ScoredTables, threshold: float | None, pictures: int) -> list[PageBlock]:
    """The best, those next to the threshold, and the worst; equal scores in the order of the pool."""
    order = np.argsort(tables.scores, kind="stable")
    rows = len(order)
    chosen = {"Highest scores": order[::-1][:pictures], "Lowest scores": order[:pictures]}
    if threshold is not None and rows > 3 * pictures:
        at = int(np.searchsorted(tables.scores[order], threshold))
        first = min(max(0, at - pictures // 2), rows - pictures)
        nearest = order[first : first + pictures][::-1]
        chosen = {
            "Highest scores": chosen["Highest scores"],
            f"Next to the threshold of {threshold:.4g}": nearest,
            "Lowest scores": chosen["Lowest scores"],
        }
    return [
        Gallery(title=f"{title} ({tables.score_id})", pictures=pictures_of([tables.row(int(at)) for at in places]))
        for title, places in chosen.items()
    ]


def _threshold(subset: ReadSubset) -> float | None:
    value = subset.recipe.get("threshold")
    return float(value) if isinstance(value, int | float) and np.isfinite(value) else None


def _bad_table(tables: ScoredTables, place: int) -> Table:
    counts = [(status, count) for status, count in tables.statuses.most_common() if status != OK]
    rows = [[words(status), number(count), share(count / tables.rows)] for status, count in counts]
    return Table(
        name=f"bad-{place}",
        title="Bad samples",
        columns=["reason", "rows", "part of all rows"],
        rows=rows,
        note=f"Of {tables.rows:,} rows in {tables.tables:,} of {tables.shards:,} shards ({tables.score_id}).",
    )


def _subset_table(subsets: Sequence[ReadSubset]) -> Table:
    rows = []
    for subset in subsets:
        recipe = subset.recipe
        kept, of = (_whole(recipe.get(name)) for name in ("kept_uids", "rows"))
        rows.append(
            [
                words(subset.label),
                words(str(recipe.get("method", "-"))),
                words(str(recipe.get("rule", recipe.get("fraction", "-")))),
                number(kept if kept is not None else None if subset.uids is None else len(subset.uids)),
                number(of),
                number(_threshold(subset)),
                words(str(recipe.get("score_id") or "-")),
            ]
        )
    columns = ["subset", "method", "fraction or rule", "uids kept", "of rows", "threshold", "scores"]
    return Table(name="subsets", title="Subsets", columns=columns, rows=rows)


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _overlap_table(subsets: Sequence[ReadSubset]) -> Table:
    """Every pair, by all of their uids."""
    labels = [each.label for each in subsets]
    found = overlaps(labels, [each.uids for each in subsets if each.uids is not None])
    rows = [
        [
            *(words(each.first), words(each.second), number(each.common)),
            *(share(each.of_first), share(each.of_second), share(each.jaccard)),
        ]
        for each in found
    ]
    columns = ["one", "other", "uids in both", "part of the one", "part of the other", "Jaccard index"]
    return Table(name="overlaps", title="Overlap of subsets", columns=columns, rows=rows)
