"""`datascaler runs`."""

import time
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from datascaler.cli.options import INPUT, json_option
from datascaler.cli.output import note, print_result, print_table

if TYPE_CHECKING:
    from datascaler.data.tables.scoring_progress import ScoreRun


@click.command()
@click.argument("output_dir", type=INPUT, metavar="OUTPUT_DIR")
@click.option("--no-counts", is_flag=True, help="Count the rows of the 64 newest tables only: quick on huge pools.")
@click.option("--watch", is_flag=True, help="Show it again and again, until all is done.")
@click.option("--every", type=click.FloatRange(min=0.1), default=10.0, show_default=True, help="Seconds, for --watch.")
@json_option
def runs(output_dir: str, no_counts: bool, watch: bool, every: float, as_json: bool) -> None:
    """Show how far the scoring runs of an output folder are: shards done and missing, bad rows, rate and time left.

    It reads files alone, so it needs no cluster, and nobody has to be running.

    \b
    datascaler runs s3://out
    datascaler runs s3://out --watch --every 60
    """
    from datascaler.data.tables.scoring_progress import Known, find_score_runs

    known: Known = {}
    while True:
        found = find_score_runs(output_dir, known=known, counts=not no_counts)
        show_runs(output_dir, found, as_json=as_json)
        if not watch or (found and all(run.missing == 0 for run in found)):
            return
        time.sleep(every)


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
