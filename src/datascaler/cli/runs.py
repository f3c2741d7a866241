"""`datascaler runs`."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from datascaler.cli.options import INPUT, json_option
from datascaler.cli.output import note, print_result, print_table
from datascaler.errors import RunNotFoundError

if TYPE_CHECKING:
    from datascaler.data.runs.list_work import FoundWork
    from datascaler.data.tables.scoring_progress import Known, ScoreRun


@click.command()
@click.argument("output_dir", type=INPUT, metavar="OUTPUT_DIR")
@click.option("--no-counts", is_flag=True, help="Count the rows of the 64 newest tables only: quick on huge pools.")
@click.option("--watch", is_flag=True, help="Show it again and again, until all is done.")
@click.option("--every", type=click.FloatRange(min=0.1), default=10.0, show_default=True, help="Seconds, for --watch.")
@json_option
def runs(output_dir: str, no_counts: bool, watch: bool, every: float, as_json: bool) -> None:
    """Show how far the runs below a folder are: scoring, training, sweeps and evaluations.

    Of scoring it shows shards done and missing, bad rows, rate and time left; of the others their state, key figures
    and age. It reads files alone, so it needs no cluster, and nobody has to be running.

    \b
    datascaler runs s3://out
    datascaler runs s3://out --watch --every 60
    """
    from datascaler.data.runs.list_work import list_work

    known: Known = {}
    while True:
        found = _scoring(output_dir, known, counts=not no_counts)
        work = list_work(output_dir)
        if found is None and not any((work.train, work.sweeps, work.evaluations)):
            raise RunNotFoundError(
                f"{output_dir} holds no run: no shards.parquet of scoring, run.json of training, sweep or results"
            )
        _show_all(output_dir, found, work, as_json=as_json)
        done = all(run.missing == 0 for run in found or []) and all(run.state != "running" for run in work.train)
        if not watch or (done and (found or work.train)):
            return
        time.sleep(every)


def _scoring(output_dir: str, known: "Known", *, counts: bool) -> "list[ScoreRun] | None":
    """None where nothing was scored."""
    from datascaler.data.tables.scoring_progress import find_score_runs

    try:
        return find_score_runs(output_dir, known=known, counts=counts)
    except RunNotFoundError:
        return None


def _show_all(output_dir: str, found: "list[ScoreRun] | None", work: "FoundWork", *, as_json: bool) -> None:
    """A table a kind for people; one JSON object for programs."""
    if as_json:
        kinds: dict[str, Sequence[Any]] = {"runs": found or [], "train": work.train, "sweeps": work.sweeps}
        kinds["evaluations"] = work.evaluations
        rows = {kind: [asdict(each) for each in items] for kind, items in kinds.items()}
        for each in rows["train"]:
            del each["losses"]
        print_result({"output_dir": output_dir, **rows}, as_json=True)
        return
    if found is not None:
        show_runs(output_dir, found, as_json=False)
    for number, table in enumerate(_work_tables(work)):
        if found or number:
            click.echo()
        print_table(table)


def show_runs(output_dir: str, found: "list[ScoreRun]", *, as_json: bool) -> None:
    """One table for people, with a line for every damaged table; one JSON object for programs."""
    if as_json:
        print_result({"output_dir": output_dir, "runs": [asdict(run) for run in found]}, as_json=True)
        return
    if not found:
        note(f"the shard list of {output_dir} is frozen, and no table is there yet")
        return
    print_table([_row(run) for run in found])
    for run in found:
        for table in run.unreadable:
            note(f"{run.tables}/{table} is damaged: remove it, and run the same command again")


def _row(run: "ScoreRun") -> dict[str, object]:
    return {
        "score_id": run.score_id,
        "state": folder_state(run),
        "done": f"{run.done:,} of {run.wanted:,}",
        "rows": run.rows,
        "ok": run.ok,
        "bad": run.bad,
        "samples/s": run.samples_per_second,
        "left": None if run.eta_seconds is None else time_left(run.eta_seconds),
    }


def _work_tables(work: "FoundWork") -> list[list[dict[str, object]]]:
    """A table of each kind that there is."""
    train: list[dict[str, object]] = [
        {
            "run": each.name or each.run,
            "state": each.state + (f": {each.why}" if each.why else ""),
            "samples": f"{each.samples_seen:,} of {each.of:,}",
            "loss": each.loss,
            "samples/s": each.samples_per_second,
            "left": None if each.eta_seconds is None else time_left(each.eta_seconds),
            "age": _age(each.age_seconds),
        }
        for each in work.train
    ]
    sweeps: list[dict[str, object]] = [
        {
            "sweep": each.name,
            "points": f"{each.done:,} of {each.points:,}",
            "best lr": each.best_lr,
            "loss": each.best_loss,
            "age": _age(each.age_seconds),
        }
        for each in work.sweeps
    ]
    evaluations: list[dict[str, object]] = [
        {
            "results": each.name or each.results,
            "state": each.state,
            "tasks": f"{each.scored:,}" + ("" if each.tasks is None else f" of {each.tasks:,}"),
            "failed": each.failed,
            "average": each.average,
            "age": _age(each.age_seconds),
        }
        for each in work.evaluations
    ]
    return [table for table in (train, sweeps, evaluations) if table]


def _age(seconds: float | None) -> str | None:
    return None if seconds is None else time_left(seconds)


def folder_state(run: "ScoreRun") -> str:
    """done, running, stopped (no table has come for longer than a shard takes), or damaged (some can't be read)."""
    if run.unreadable:
        return "damaged"
    if run.missing == 0:
        return "done"
    return "running" if run.working else "stopped"


def time_left(seconds: float) -> str:
    """3d 04h, 5h 12m, 7m 09s or 42s."""
    whole = round(seconds)
    for unit, size, lower, lower_size in (("d", 86400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1)):
        if whole >= size:
            return f"{whole // size}{unit} {whole % size // lower_size:02d}{lower}"
    return f"{whole}s"
