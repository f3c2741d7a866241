"""`datascaler report`."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from functools import partial
from typing import Any

import click

from datascaler.cli.options import given, json_option, spec_option, spec_options, usage_errors_of
from datascaler.cli.output import note, print_result
from datascaler.spec.report import ReportSpec

_flag = partial(spec_option, ReportSpec)


@click.command("report")
@click.argument("runs", nargs=-1, required=True, metavar="RUNS...")
@spec_options(
    _flag("output", help="The page's file or URL."),
    _flag("baseline", help="The evaluated run that others are compared with.  [default: one of no filter, or random]"),
    _flag("published", help="Published baselines of this scale: small, medium.  [default: the runs' scale]"),
    _flag("target", help="Forecast this scale: small, medium, large or xlarge."),
    _flag("target_samples", help="Forecast so many samples seen, in place of a scale: 1.28B."),
    _flag("target_width", default="the widest run's", help="Width multiplier of that forecast."),
    _flag("metric", help="Of the forecast: average, imagenet, shifts, vtab, retrieval, or a task."),
    _flag("pictures", help="Samples in each row of a gallery; 0 is no galleries."),
    _flag("seed", help="Of the forecast and of intervals."),
)
@json_option
def report_command(as_json: bool, **options: Any) -> None:
    """Make one page of any set of runs: what was found, and what it rests on.

    RUNS are folders of scores, subsets, training runs, sweeps and results, folders above them, or files that
    `datascaler forecast --json` wrote. The page is one file that needs no network: send it, or put it into a bucket.

    \b
    datascaler report s3://bucket/out --output s3://bucket/report.html
    datascaler report scored runs forecast.json --baseline runs/small/none-f1/... --target large
    """
    spec = report_spec(options)

    from datascaler.report.make_report import make_report

    print_result(asdict(make_report(spec, note)), as_json=as_json)


def report_spec(options: Mapping[str, Any]) -> ReportSpec:
    names = {each.name for each in fields(ReportSpec)}
    with usage_errors_of(ReportSpec):
        return ReportSpec(**given({name: value for name, value in options.items() if name in names}))
