"""`datascaler eval compare`."""

from typing import TYPE_CHECKING, Any

import click

from datascaler.cli.options import COUNT, json_option
from datascaler.cli.output import print_result, print_table

if TYPE_CHECKING:
    from datascaler.data.runs.seed_noise import SeedNoise
    from datascaler.evaluate.compare_results import ComparedScores, Comparison

_SIZES = {"average": 38, "ImageNet": 1, "IN shifts": 6, "VTAB": 13, "Retrieval": 3}
"""Tasks that a published average is over."""


@click.command()
@click.argument("results", nargs=-1, required=True, metavar="RESULTS ...")
@click.option("--published", help="Beside DataComp's published baselines of this scale: small, medium.")
@click.option("--picture", help="Draw the differences and their intervals in this .png, .svg or .pdf file.")
@click.option("--resamples", type=COUNT, default=1000, show_default=True, help="Replicates of the bootstrap.")
@click.option("--seed", type=COUNT, default=0, show_default=True, help="Of the bootstrap.")
@json_option
def compare(
    results: tuple[str, ...], published: str | None, picture: str | None, resamples: int, seed: int, as_json: bool
) -> None:
    """Compare evaluated models with the first one, over the same samples.

    RESULTS are folders of results, runs that were evaluated, or eval_results.jsonl files. The intervals (95%) are those
    of the difference, by bootstrap over the samples that both answered; a * marks one without 0 in it. Of several runs
    that differ in their seed alone it also says how far that moves each score.

    \b
    datascaler eval compare s3://runs/a s3://runs/b
    datascaler eval compare results --published small --picture compared.svg
    """
    from datascaler.evaluate.compare_results import compare_results

    found = compare_results(results, published=published, resamples=resamples, seed=seed, picture=picture)
    if as_json:
        print_result(found.to_json(), as_json=True)
        return
    print_table(_standings(found))
    for number, name in enumerate(found.results[1:], 1):
        click.echo(f"\n{name} less {found.results[0]}")
        print_table([_difference(row, number) for row in (*found.averages, *found.tasks)])
    if found.seeds:
        click.echo("\nover seeds: how far configurations differ (signal), and runs of one configuration (noise)")
        print_table(list(map(_seeds, found.seeds)))


def _standings(found: "Comparison") -> list[dict[str, Any]]:
    """A row a result and a published baseline, a column an average."""
    rows = [
        {"result": name} | {each.name: _share(each.scores[number], each.scored, each.tasks) for each in found.averages}
        for number, name in enumerate(found.results)
    ]
    for baseline in found.published:
        averages = {"average": baseline.averages["average_38"], **baseline.averages}
        cells = {
            each.name: f"{averages[each.name]:.3f} ({_SIZES[each.name]} of {_SIZES[each.name]})"
            if each.name in averages
            else "-"
            for each in found.averages
        }
        rows.append({"result": f"published, {baseline.scale}: {baseline.strategy} ({baseline.subset_size})"} | cells)
    return rows


def _difference(row: "ComparedScores", number: int) -> dict[str, Any]:
    difference, interval = row.differences[number], row.intervals[number]
    beyond = interval is not None and not interval[0] <= 0 <= interval[1]
    return {
        "": row.name,
        "tasks": f"{row.scored} of {row.tasks}",
        "first": _score(row.scores[0]),
        "this": _score(row.scores[number]),
        "difference": "-" if difference is None else f"{difference:+.4f}",
        "95% interval": f"{interval[0]:+.4f} to {interval[1]:+.4f}{' *' * beyond}" if interval else "-",
        "note": row.note,
    }


def _seeds(row: "SeedNoise") -> dict[str, Any]:
    return {
        "": row.name,
        "signal/noise": "-" if row.ratio is None else f"{row.ratio:.1f}",
        "signal": _score(row.signal),
        "noise": _score(row.noise),
        "of": f"{row.runs} runs of {row.configurations} configuration(s)",
    }


def _share(score: float | None, scored: int, tasks: int) -> str:
    return f"{_score(score)} ({scored} of {tasks})"


def _score(score: float | None) -> str:
    return "-" if score is None else f"{score:.4f}"
