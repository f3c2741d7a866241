"""What comes first: the forecast's verdict, or else the best model, with the picture of it and what it rests on."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from datascaler import storage
from datascaler.errors import ConfigError, StorageError
from datascaler.forecasting.forecast_runs import Forecast, forecast
from datascaler.report.blocks import Bounds, Figure, PageBlock, Section, Table, Text, number, share, words
from datascaler.report.charts import Dot, dots
from datascaler.report.evaluated_models import EvaluatedModel
from datascaler.report.evaluations import averages_picture
from datascaler.spec.forecast import ForecastSpec

_FIELDS = {"verdict": str, "filters": list, "evidence": list, "metric": str, "target_samples": int}
"""What a forecast of ours has."""

Record = Mapping[str, Any]


def read_forecasts(urls: Sequence[str]) -> tuple[dict[str, Record], dict[str, str]]:
    """The forecasts by URL, and why each other file is none."""
    found: dict[str, Record] = {}
    failures = {}
    for url in urls:
        try:
            record = storage.read_json(url)
        except (ConfigError, StorageError) as error:
            failures[url] = str(error)
            continue
        if isinstance(record, dict) and all(isinstance(record.get(name), kind) for name, kind in _FIELDS.items()):
            found[url] = record
        else:
            failures[url] = "not what `datascaler forecast --json` prints"
    return found, failures


def made_forecast(spec: ForecastSpec) -> Record:
    """The forecast that the report was asked for."""
    made: Forecast = forecast(
        spec.runs,
        target=spec.target,
        target_samples=spec.target_samples,
        target_width=spec.target_width,
        metric=spec.metric,
        seed=spec.seed,
    )
    return asdict(made)


def answer_section(
    forecasts: Mapping[str, Record], failures: Mapping[str, str], models: Sequence[EvaluatedModel]
) -> Section | None:
    blocks: list[PageBlock] = []
    for at, (name, record) in enumerate(forecasts.items()):
        try:
            blocks += _forecast_blocks(name, record, at)
        except (KeyError, TypeError, ValueError) as error:
            blocks.append(Text(text=f"{name} is not a forecast of this version: {type(error).__name__} {error}"))
    if not forecasts and models:
        blocks.append(Text(text=_best_model(models), leads=True))
        blocks.append(averages_picture(models, "averages-picture"))
        hint = "This is about the runs as they are: --target or --target-samples adds a forecast for another size."
        blocks.append(Text(text=hint))
    blocks += [Text(text=f"{url} is left out: {reason}") for url, reason in failures.items()]
    return Section(name="answer", title="The answer", blocks=blocks) if blocks else None


def _best_model(models: Sequence[EvaluatedModel]) -> str:
    best = models[0]
    average = best.averages["average"]
    if average.value is None:
        return "No task has a score yet."
    told = f"{best.label} has the best average: {share(average.value, average.interval).text} over "
    told += f"{average.scored} of {average.tasks} tasks."
    if len(models) > 1 and (second := models[1].averages["average"]).value is not None:
        told += (
            f" Next is {models[1].label} with {share(second.value, second.interval).text}, of {len(models):,} models."
        )
    return told


def _forecast_blocks(name: str, record: Record, at: int) -> list[PageBlock]:
    blocks: list[PageBlock] = [Text(text=_sentence(record["verdict"]), leads=True)]
    filters = [each for each in record["filters"] if isinstance(each, dict)]
    with_level = [each for each in filters if each["predicted"] is not None]
    target = f"{record.get('arch')} at width {record.get('width_mult')}, {record['target_samples']:,} samples seen"
    if with_level:
        blocks.append(_picture(with_level, record["metric"], target, at))
    blocks.append(_filter_table(filters, at))
    if isinstance(record.get("next_run"), dict):
        blocks.append(Text(text=_next_run(record["next_run"])))
    beyond = record.get("beyond")
    if isinstance(beyond, dict):
        times = [f"{beyond[each]:,.3g} times the {each}" for each in ("samples", "size", "compute")]
        blocks.append(Text(text=f"The target, {target}, is {', '.join(times)} of the largest runs."))
    rows = [
        [words(str(each["name"])), words("used" if each["used"] else "not used"), words(str(each["says"]))]
        for each in record["evidence"]
    ]
    rows += [[words("assumed"), words(""), words(str(each))] for each in record.get("assumptions", [])]
    rows += [
        [words("left out"), words(""), words(f"{url}: {reason}")] for url, reason in record.get("left_out", {}).items()
    ]
    tasks, runs = record.get("tasks", 0), record.get("runs", 0)
    note = f"The metric is {record['metric']}, of {tasks:,} tasks, in {runs:,} runs. {name}"
    columns = ["evidence", "", "what it says"]
    blocks.append(Table(name=f"evidence-{at}", title="What it rests on", columns=columns, rows=rows, note=note))
    return blocks


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _picture(filters: Sequence[Record], metric: str, target: str, at: int) -> Figure:
    rows = [
        Dot(
            label=str(each["filter"]),
            value=float(each["predicted"]),
            inner=_interval(each, "80"),
            outer=_interval(each, "95"),
        )
        for each in filters
    ]
    says = (
        f"The predicted {metric} of each filter for {target}: thick lines are 80% intervals of one run, thin ones 95%."
    )
    return dots(f"forecast-{at}", "Forecast", says, rows, f"predicted {metric}")


def _interval(each: Record, part: str) -> Bounds:
    low, high = each[f"low{part}"], each[f"high{part}"]
    return None if low is None or high is None else (float(low), float(high))


def _filter_table(filters: Sequence[Record], at: int) -> Table:
    rows = [
        [
            words(str(each["filter"])),
            share(each["predicted"], _interval(each, "95")),
            share(each["best_probability"]),
            number(each["expected_regret"], 3),
        ]
        for each in filters
    ]
    columns = ["filter", "predicted (95%)", "probability to be the best", "expected regret"]
    return Table(name=f"filters-{at}", title="Filters, the least expected regret first", columns=columns, rows=rows)


def _next_run(run: Record) -> str:
    cost = "an unknown number of" if run["a100_hours"] is None else f"{run['a100_hours']:,.3g}"
    return (
        f"The cheapest next run that would help most: {', '.join(map(str, run['filters']))} with {run['arch']} at "
        f"width {run['width_mult']}, {run['samples']:,} samples, seed {run['seed']}: {run['why']}. It takes {cost} "
        f"A100-hours, and is expected to lower the regret from {run['regret_before']:.4f} to {run['regret_after']:.4f}."
    )
