"""What runs took: process-hours, A100-hours by DataComp's record, and the bytes of the pools that were scored."""

from collections.abc import Sequence

from datascaler import storage
from datascaler.data.pool.shard_list import read_frozen_shards
from datascaler.data.tables.score_table import score_folders, table_name
from datascaler.errors import ConfigError, StorageError
from datascaler.report.blocks import Cell, PageBlock, Section, Table, Text, number, words
from datascaler.report.training_runs import TrainRun
from datascaler.spec.cost import a100_hours


def cost_section(scored: Sequence[str], runs: Sequence[TrainRun]) -> Section | None:
    blocks = [*_training(runs), *_scoring(scored)]
    return Section(name="cost", title="Cost", blocks=blocks) if blocks else None


def _training(runs: Sequence[TrainRun]) -> list[PageBlock]:
    if not runs:
        return []
    counted = [(run.process_hours, _estimate(run)) for run in runs]
    rows = [
        [words(run.label), number(run.samples_seen), number(hours, 3), number(estimate, 3)]
        for run, (hours, estimate) in zip(runs, counted, strict=True)
    ]
    measured = [hours for hours, _ in counted if hours is not None]
    estimates = [estimate for _, estimate in counted if estimate is not None]
    told = (
        f"Training took {sum(measured):,.3g} process-hours in {len(measured):,} of {len(runs):,} runs whose logs tell, "
        "of one GPU each where there are GPUs; "
        f"by DataComp's record it is {sum(estimates):,.3g} A100-hours for {len(estimates):,} of {len(runs):,} runs."
    )
    note = (
        "Hours are those of the steps in the log: starting up, evaluation and steps that were lost and made again are "
        "not in them. What budgets share of a trunk is counted in the shortest one. A run does not record how many "
        "bytes it read, and by how many requests."
    )
    columns = ["run", "samples seen", "process-hours", "A100-hours by DataComp's record"]
    table = Table(name="training-cost", title="Training", columns=columns, rows=rows, note=note, folded=len(rows) > 30)
    return [Text(text=told), table]


def _estimate(run: TrainRun) -> float | None:
    trunk = max((row["samples_seen"] for row in run.rows if row.get("start", 1) == 0), default=0.0)
    return a100_hours(run.spec.model_arch, run.spec.width_mult, max(run.samples_seen - trunk, 0.0))


def _scoring(folders: Sequence[str]) -> list[PageBlock]:
    """The shards of each score-id that has its table: each was read once."""
    rows = [row for folder in folders for row in _scored(folder)]
    if not rows:
        return []
    note = "Each shard is read once, from its start to its end; methods that read tables or metadata read less."
    columns = ["score-id", "shards scored", "of", "GB of these shards"]
    return [Table(name="scoring-cost", title="Scoring", columns=columns, rows=rows, note=note)]


def _scored(folder: str) -> list[list[Cell]]:
    try:
        shards = read_frozen_shards(folder)
        tables = {each: _names(each) for each in score_folders(folder)}
    except (ConfigError, StorageError):
        return []  # the section of the pool says why
    found = []
    for url, names in tables.items():
        done = [shard.size for shard in shards if table_name(shard.name) in names]
        cells = [words(storage.basename(url)), number(len(done)), number(len(shards)), number(sum(done) / 1e9, 3)]
        found.append(cells)
    return found


def _names(tables: str) -> set[str]:
    """The tables below the folder."""
    infos = storage.list_files(tables, ".parquet", recursive=True)
    return {info.url.removeprefix(tables.rstrip("/") + "/") for info in infos}
