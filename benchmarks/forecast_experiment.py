"""A forecast that is put to the test on real pictures: three filters at three widths and three budgets, two seeds each.

The largest point, the widest models with the most samples, is left out of the forecast and trained all the same. What
was forecast comes true if the mean of each filter there lies in its 90% interval; a forecast may also say that these
runs can't tell. Begun again, all goes on where it stopped. The last line is one JSON object; `log.md`, `forecast.png`
and `report.html` are left in the output folder.

    python -m benchmarks.forecast_experiment --output-dir forecast-output
"""

import argparse
import io
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from statistics import NormalDist, fmean
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.emoji_pool import EmojiData, make_emoji_data
from benchmarks.verdict import verdict
from datascaler import storage
from datascaler.data.runs.run_folder import run_url
from datascaler.data.select.score_source import RANDOM
from datascaler.data.select.select_subset import select_subset
from datascaler.data.subset.subset import read_subset
from datascaler.demo.make_demo import two_workers
from datascaler.evaluate.evaluate_clip import evaluate_model
from datascaler.evaluate.tasks import load_tasks
from datascaler.forecasting.forecast_runs import Forecast, forecast
from datascaler.report.make_report import make_report
from datascaler.score.score_pool import score_pool
from datascaler.spec.report import ReportSpec
from datascaler.spec.scales import DEMO
from datascaler.spec.score import ScoreSpec
from datascaler.spec.train import TrainSpec
from datascaler.train.train_clip import train_clip

KEPT = Fraction(1, 2)
COVERAGE = 0.9


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    most_emoji: int | None = None
    """Of each vendor; None is all."""
    width_mults: tuple[Fraction, ...] = (Fraction(1), Fraction(2), Fraction(4))
    budgets: tuple[int, ...] = (16_000, 32_000, 64_000)
    seeds: tuple[int, ...] = (0, 1)
    filter_samples: int = 60_000
    batch_size: int = 96
    warmup_steps: int = 30


SMALL = Recipe(most_emoji=60, budgets=(192, 384, 768), filter_samples=960, batch_size=48, warmup_steps=2)
"""A minute's, which shows that all of it works and nothing else."""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output-dir", default="forecast-output")
    parser.add_argument("--small", action="store_true", help="A minute's, to see that it works.")
    given = parser.parse_args()
    started = time.monotonic()
    result = run_experiment(given.output_dir, SMALL if given.small else Recipe())
    result["seconds"] = round(time.monotonic() - started)
    return verdict(result, at_least={"came_true": 1})


def run_experiment(output_dir: str, recipe: Recipe) -> dict[str, Any]:
    _say(f"[1/5] the pool, a trusted set and evaluation sets in {output_dir}")
    data = make_emoji_data(output_dir, most=recipe.most_emoji)
    scored = storage.join(output_dir, "scored")
    with two_workers() as workers:
        _say("[2/5] training the filter's model on the trusted set, and scoring the pool with it")
        filter_spec = replace(
            _spec(recipe, data.trusted, storage.join(output_dir, "filter")),
            train_num_samples=recipe.filter_samples,
            branch_at=(),
        )
        filter_run = workers.submit(_train, filter_spec).result()
        spec = ScoreSpec(data_dir=data.pool, output_dir=scored, method="dfn", model=None, pretrained=filter_run)
        score_id = workers.submit(score_pool, spec).result().score_id

        _say(f"[3/5] keeping the best {float(KEPT):.0%}, and as many at random")
        filters = [_spec(recipe, data.pool, storage.join(output_dir, "runs"))]
        kept_clean = {"none-f1.0": _clean_share(data, list(data.kinds))}
        for method in (RANDOM, "dfn"):
            made = select_subset(scored, fraction=KEPT, method=method, score_name=score_id)
            filters.append(replace(filters[0], method=method, fraction=KEPT, subset_file=made.files[0]))
            kept_clean[filters[-1].subset_name] = _clean_share(data, _uids(made.files[0]))
        # The widest first: what is left at the end is short.
        specs = [
            replace(each, width_mult=width, seed=seed)
            for width in sorted(recipe.width_mults, reverse=True)
            for seed in recipe.seeds
            for each in filters
        ]
        _say(f"[4/5] {len(specs)} runs of {len(recipe.budgets)} budgets each")
        began = time.monotonic()
        pending = [workers.submit(_train_and_evaluate, each, data) for each in specs]
        for done, each in enumerate(as_completed(pending), start=1):
            each.result()
            _say(f"      {done} of {len(specs)} after {(time.monotonic() - began) / 60:.1f} minutes")
    _say("[5/5] the forecast, and what happened")
    return _compare(output_dir, recipe, specs, kept_clean)


def _spec(recipe: Recipe, data_dir: str, output_dir: str) -> TrainSpec:
    """A run of no filter, at the base width."""
    return TrainSpec(
        data_dir=data_dir,
        output_dir=output_dir,
        scale=DEMO,
        model_arch="ViT-Micro-12-48",
        use_mup=True,
        schedule="wsd",
        branch_at=recipe.budgets,
        train_num_samples=max(recipe.budgets),
        batch_size=recipe.batch_size,
        lr=3e-3,
        warmup_steps=recipe.warmup_steps,
        num_workers=0,
        num_checkpoints=1,
    )


def _train(spec: TrainSpec) -> str:
    summary = train_clip(spec, "make forecast-experiment")
    assert summary is not None, "a run of the experiment is one process"
    return summary.run


def _train_and_evaluate(spec: TrainSpec, data: EmojiData) -> None:
    """All budgets of a run."""
    _train(spec)
    for budget in spec.budgets:
        run = run_url(budget)
        results, tasks = storage.join(run, "eval"), load_tasks(data.tasks)
        evaluate_model(None, run, output_dir=results, data_dir=data.evalsets, tasks=tasks, num_workers=1)


def _uids(subset_file: str) -> list[str]:
    return [f"{int(high):016x}{int(low):016x}" for high, low in read_subset(subset_file)]


def _clean_share(data: EmojiData, uids: Sequence[str]) -> float:
    return fmean(data.kinds[uid] == "clean" for uid in uids)


def _compare(
    output_dir: str, recipe: Recipe, specs: Sequence[TrainSpec], kept_clean: Mapping[str, float]
) -> dict[str, Any]:
    """The forecast of the largest point from all others, beside the runs there."""
    budgets = [budget for spec in specs for budget in spec.budgets]
    widest, longest = max(recipe.width_mults), max(recipe.budgets)
    held_out = [each for each in budgets if (each.width_mult, each.train_num_samples) == (widest, longest)]
    known = [run_url(each) for each in budgets if each not in held_out]
    made = forecast(known, target_samples=longest, target_width=widest)
    happened: dict[str, list[float]] = {}
    for each in held_out:
        happened.setdefault(each.subset_name, []).append(_average(run_url(each)))
    rows = _rows(made, happened, kept_clean)
    said_no = made.decision == "unpredictable"
    inside = sum(row["inside90"] for row in rows)
    best = max(happened, key=lambda name: fmean(happened[name]))
    storage.publish_json(storage.join(output_dir, "forecast.json"), asdict(made))
    page = make_report(ReportSpec(runs=(output_dir,), output=storage.join(output_dir, "report.html"))).page
    result = {
        "came_true": int(said_no or inside == len(rows)),
        "inside90": inside,
        "filters": len(rows),
        "decision": made.decision,
        "best_forecast": made.filters[0].filter if made.filters else None,
        "best": best,
        "runs_forecast_from": made.runs,
        "mean_error": None if said_no else round(fmean(abs(row["predicted"] - row["happened"]) for row in rows), 4),
        "page": page,
    }
    storage.publish_text(storage.join(output_dir, "log.md"), _log(recipe, made, rows))
    storage.publish_bytes(storage.join(output_dir, "forecast.png"), _picture(rows, budgets))
    return result


def _average(run: str) -> float:
    return float(storage.read_json(storage.join(run, "eval", "eval_summary.json"))["average"])


def _rows(
    made: Forecast, happened: Mapping[str, Sequence[float]], kept_clean: Mapping[str, float]
) -> list[dict[str, Any]]:
    rows = []
    forecasts = {each.filter: each for each in made.filters}
    for name, values in happened.items():
        row: dict[str, Any] = {
            "filter": name,
            "clean": kept_clean[name],
            "happened": fmean(values),
            "runs": list(values),
        }
        row |= {"predicted": None, "low90": None, "high90": None, "inside90": False}
        found = forecasts.get(name)
        if found and found.low80 is not None and found.high80 is not None:
            assert found.low95 is not None
            assert found.high95 is not None
            low, high = _between(found.low80, found.low95), _between(found.high80, found.high95)
            row |= {"predicted": found.predicted, "low90": low, "high90": high}
            row["inside90"] = bool(low <= row["happened"] <= high)
        rows.append(row)
    return rows


def _between(at80: float, at95: float) -> float:
    """The end of the 90% interval, between those of 80% and 95%, as of a normal distribution."""
    normal = NormalDist()
    ends = [normal.inv_cdf((1 + share) / 2) for share in (0.8, COVERAGE, 0.95)]
    return at80 + (at95 - at80) * (ends[1] - ends[0]) / (ends[2] - ends[0])


def _log(recipe: Recipe, made: Forecast, rows: Sequence[Mapping[str, Any]]) -> str:
    """For docs/log.md."""
    widths = ", ".join(str(width) for width in recipe.width_mults)
    budgets = ", ".join(f"{budget:,}" for budget in recipe.budgets)
    lines = [
        f"Widths {widths}; budgets {budgets}; {len(recipe.seeds)} seeds. Forecast from {made.runs:,} runs; the largest",
        f"point ({made.target_samples:,} samples at width {made.width_mult}) was held out. {made.verdict}",
        "",
        "| filter | clean share | forecast | 90% interval | happened | runs | inside |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        known = row["predicted"] is not None
        told = f"{row['predicted']:.3f} | {row['low90']:.3f}-{row['high90']:.3f}" if known else "- | -"
        runs = ", ".join(f"{value:.3f}" for value in row["runs"])
        inside = "yes" if row["inside90"] else "no"
        lines.append(f"| {row['filter']} | {row['clean']:.2f} | {told} | {row['happened']:.3f} | {runs} | {inside} |")
    lines += ["", *(f"- {each.name}: {'' if each.used else 'not used: '}{each.says}" for each in made.evidence)]
    return "\n".join(lines) + "\n"


def _picture(rows: Sequence[Mapping[str, Any]], budgets: Sequence[TrainSpec]) -> bytes:
    """Averages against samples seen, a line a filter and width; at the end the forecast's intervals, and what came."""
    figure = Figure(figsize=(9, 5), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    colours = {row["filter"]: f"C{number}" for number, row in enumerate(rows)}
    for name, colour in colours.items():
        for style, width in zip(
            ("-", "--", ":"), sorted({each.width_mult for each in budgets}, reverse=True), strict=False
        ):
            points: dict[int, list[float]] = {}
            for each in budgets:
                if (each.subset_name, each.width_mult) == (name, width):
                    points.setdefault(each.train_num_samples, []).append(_average(run_url(each)))
            x = sorted(points)
            axes.plot(
                x, [fmean(points[at]) for at in x], style, color=colour, marker="o", label=f"{name}, width {width}"
            )
    end = max(each.train_num_samples for each in budgets)
    for number, row in enumerate(rows):
        if row["predicted"] is not None:
            place = end * (1.06 + 0.04 * number)
            axes.plot(
                [place, place], [row["low90"], row["high90"]], color=colours[row["filter"]], linewidth=3, alpha=0.5
            )
            axes.plot([place], [row["predicted"]], "_", color=colours[row["filter"]], markersize=12)
            axes.plot([place], [row["happened"]], "*", color=colours[row["filter"]], markersize=10)
    axes.set(xscale="log", xlabel="samples seen", ylabel="average of both tasks")
    axes.set_title("Bars: 90% intervals of the forecast of the widest models; stars: what happened", fontsize=10)
    axes.legend(fontsize=7, ncols=3)
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
