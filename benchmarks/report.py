"""How long a report of 200 evaluated runs takes, and how large its page is."""

import sys
import time
from dataclasses import replace
from tempfile import TemporaryDirectory

from benchmarks.verdict import verdict
from datascaler.report.make_report import make_report
from datascaler.spec.report import ReportSpec
from tests.forecasting.runs import run_of
from tests.report.folders import leave_results, leave_scored_pool, leave_training_run

FILTERS, SEEDS = 20, 10
ROWS = 1000
"""Of a run's log."""


def main() -> int:
    with TemporaryDirectory() as folder:
        for number in range(FILTERS * SEEDS):
            name = f"clip-f0.{number % FILTERS + 10}"
            spec = replace(run_of(f"{folder}/runs", name), seed=number // FILTERS)
            url = leave_training_run(spec, 4.0, rows=ROWS)
            leave_results(f"{url}/eval", 0.3, seed=number, samples=10_000 if number < 8 else 0)
        leave_scored_pool(folder)
        started = time.perf_counter()
        made = make_report(ReportSpec(runs=(folder,), output=f"{folder}/report.html"))
        seconds = time.perf_counter() - started
    assert (made.runs, made.results) == (FILTERS * SEEDS, FILTERS * SEEDS)
    result = {"seconds": round(seconds, 2), "megabytes": made.megabytes, "runs": made.runs, "tasks": 38}
    return verdict(result, at_most={"seconds": 30, "megabytes": 10})


if __name__ == "__main__":
    sys.exit(main())
