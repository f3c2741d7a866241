"""`datascaler subset show`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from datascaler.cli.options import INPUT, json_option
from datascaler.cli.output import note, print_result, print_table

if TYPE_CHECKING:
    from datascaler.data.select.describe_subset import CoverageReport, ShardKept, SubsetReport

_BINS = 10
_BAR_LETTERS = 40
_OF_A_RECIPE = ("method", "fraction", "rule", "threshold")


@click.command()
@click.argument("files", type=INPUT, nargs=-1, required=True, metavar="FILE ...")
@click.option("--output-dir", type=INPUT, help="What is in the pool that was scored or indexed into this folder?")
@click.option(
    "--data-dir", type=INPUT, help="What is in this pool? It needs a plan, scores or parquet files beside its shards."
)
@click.option("--plan", "plan_url", type=INPUT, help="What is in the pool that this plan of the FILE was made for?")
@json_option
def show(
    files: tuple[str, ...], output_dir: str | None, data_dir: str | None, plan_url: str | None, as_json: bool
) -> None:
    """Show what subsets hold, how they overlap, and what a pool has of them.

    Counts are of uids, repeats included, and of distinct ones; the overlap is of distinct ones. With a pool, also
    the coverage and how much each shard keeps. --json has all of it, shard by shard.

    \b
    datascaler subset show clip.npy dfn.npy
    datascaler subset show clip.npy --output-dir s3://out
    """
    from datascaler.data.plan.known_plan import coverage_plan
    from datascaler.data.select.describe_subset import describe_plan, describe_subset, overlaps

    if sum(each is not None for each in (output_dir, data_dir, plan_url)) > 1:
        raise click.UsageError("give one of --output-dir, --data-dir and --plan")
    described = [describe_subset(url) for url in files]
    pairs = overlaps(files, [uids for _, uids in described])
    pools: list[CoverageReport | None] = [None] * len(files)
    if output_dir or data_dir or plan_url:
        where = {"output_dir": output_dir, "data_dir": data_dir, "plan_url": plan_url}
        pools = [describe_plan(coverage_plan(report.subset, uids, **where)) for report, uids in described]
    if as_json:
        subsets = [
            asdict(report) | {"pool": asdict(pool) if pool else None}
            for (report, _), pool in zip(described, pools, strict=True)
        ]
        click.echo(json.dumps({"subsets": subsets, "overlaps": [asdict(pair) for pair in pairs]}, allow_nan=False))
        return
    for (report, _), pool in zip(described, pools, strict=True):
        print_result(_lines(report, pool), as_json=False)
        if pool:
            _print_shards(pool.shards)
        click.echo()
    if pairs:
        print_table([asdict(pair) for pair in pairs])


def _lines(report: "SubsetReport", pool: "CoverageReport | None") -> Mapping[str, Any]:
    lines = {name: value for name, value in asdict(report).items() if name not in ("recipe", "recipe_fits")}
    if report.recipe_fits is False:
        note(f"{report.subset}: the recipe beside it is of other uids ({(report.recipe or {})['digest']})")
    elif report.recipe:
        lines |= {name: report.recipe[name] for name in _OF_A_RECIPE if name in report.recipe}
    if pool:
        lines["coverage"] = f"{pool.present:,} of {pool.wanted:,} uids present in this pool ({pool.coverage:.1%})"
        lines["kept_rows"] = f"{pool.kept_rows:,} of {pool.rows:,} ({pool.kept_rows / max(1, pool.rows):.1%})"
    return lines


def _print_shards(shards: Sequence["ShardKept"]) -> None:
    """Smallest, median and largest kept fraction, and how many shards lie where between."""
    ordered = sorted((shard for shard in shards if shard.rows), key=lambda shard: shard.fraction)
    if not ordered:
        return
    least, middle, most = ordered[0], ordered[(len(ordered) - 1) // 2], ordered[-1]
    click.echo(
        f"kept per shard  {least.fraction:.2%} ({least.shard}), median {middle.fraction:.2%}, "
        f"{most.fraction:.2%} ({most.shard})"
    )
    width = (most.fraction - least.fraction) / _BINS
    if not width:
        return
    counts = [0] * _BINS
    for shard in ordered:
        counts[min(_BINS - 1, int((shard.fraction - least.fraction) / width))] += 1
    for number, count in enumerate(counts):
        start = least.fraction + number * width
        bar = "#" * round(_BAR_LETTERS * count / max(counts))
        click.echo(f"  {start:7.2%} to {start + width:7.2%}  {count:>9,}  {bar}".rstrip())
