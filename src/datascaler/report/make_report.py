"""`report`: from folders to a page."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace

from datascaler import __version__, storage
from datascaler.data.runs.find_inputs import find_inputs
from datascaler.errors import ConfigError
from datascaler.report.answer import answer_section, made_forecast, read_forecasts
from datascaler.report.blocks import Section
from datascaler.report.cost import cost_section
from datascaler.report.evaluated_models import baseline_of, read_evaluations
from datascaler.report.evaluations import evaluation_section
from datascaler.report.mup import mup_section, read_coord_checks
from datascaler.report.pool import pool_section, read_subsets
from datascaler.report.provenance import provenance_section
from datascaler.report.render_page import render_page
from datascaler.report.sweeps import read_sweeps, sweep_section
from datascaler.report.training_runs import read_training_runs, run_labels, training_section
from datascaler.spec.report import ReportSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeReport:
    page: str
    """Its URL."""
    megabytes: float
    scored: int
    """Output folders of scoring runs; the others below are numbers of what their names say."""
    subsets: int
    runs: int
    sweeps: int
    results: int
    forecasts: int
    coord_checks: int
    unreadable: dict[str, str]
    """What could not be read, each with the reason; the page says it too."""


def make_report(spec: ReportSpec, say: Callable[[str], None] = lambda _: None) -> MadeReport:
    """Read what there is, write the page.

    Raises ConfigError for a folder in which there is nothing, for a baseline that is not there, and for a forecast that
    was asked for and can't be made.
    """
    storage.check_writable(storage.parent(spec.output) if "/" in spec.output else ".")
    inputs = find_inputs(spec.runs)
    say(
        f"found     {len(inputs.scored):,} scored pools, {len(inputs.subsets):,} subsets, {len(inputs.runs):,} runs, "
        f"{len(inputs.sweeps):,} sweeps, {len(inputs.results):,} results, {len(inputs.forecasts):,} forecasts, "
        f"{len(inputs.coord_checks):,} coordinate checks"
    )
    runs, run_failures = read_training_runs(inputs.runs)
    runs = [replace(run, label=label) for run, label in zip(runs, run_labels(runs), strict=True)]
    models, result_failures = read_evaluations(inputs.results, runs)
    sweeps, sweep_failures = read_sweeps(inputs.sweeps)
    checks, check_failures = read_coord_checks(inputs.coord_checks)
    subsets = read_subsets(inputs.subsets)
    forecasts, forecast_failures = read_forecasts(inputs.forecasts)
    if asked := spec.forecast():
        forecasts = {"Made for this page.": made_forecast(asked), **forecasts}
    baseline = baseline_of(models, spec.baseline)
    found: list[Section | None] = [
        answer_section(forecasts, forecast_failures, models),
        pool_section(inputs.scored, subsets, spec.pictures),
        training_section(runs, run_failures),
        sweep_section(sweeps, sweep_failures),
        mup_section(checks, check_failures, sweeps),
        evaluation_section(
            models,
            result_failures,
            inputs.unfinished_results,
            baseline=baseline,
            published=spec.published,
            seed=spec.seed,
            is_answer=not forecasts,
        ),
        cost_section(inputs.scored, runs),
    ]
    sections = [each for each in found if each is not None]
    if not sections:
        raise ConfigError(f"nothing in {', '.join(spec.runs)} can be reported on")
    command = shlex.join(["datascaler", "report", *spec.arguments()])
    files = {
        "forecast": [url for url in inputs.forecasts if url in forecasts],
        "sweep": [each.url for each in sweeps],
        "coordinate check": [each.url for each in checks],
    }
    sections.append(provenance_section(inputs.scored, subsets, runs, models, files, command))
    page = render_page(
        f"Report on {', '.join(spec.runs)}",
        "Made from the files of these runs alone. Each number says of how many it is.",
        f"Made by datascaler {__version__}.",
        sections,
    ).encode()
    storage.publish_bytes(spec.output, page)
    return MadeReport(
        page=spec.output,
        megabytes=round(len(page) / 1e6, 3),
        scored=len(inputs.scored),
        subsets=len(subsets),
        runs=len(runs),
        sweeps=len(sweeps),
        results=len(models),
        forecasts=len(forecasts),
        coord_checks=len(checks),
        unreadable=run_failures | result_failures | sweep_failures | forecast_failures | check_failures,
    )
