"""The section of evaluations: averages with intervals, every task, and differences from one of the models."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from datascaler.data.runs.seed_noise import seed_noise, without_seed
from datascaler.errors import ConfigError
from datascaler.evaluate.compare_results import ComparedScores, Comparison, compare_results
from datascaler.evaluate.published_baselines import PublishedBaseline, published_baselines
from datascaler.evaluate.tasks import load_tasks
from datascaler.report.blocks import Cell, PageBlock, Section, Table, Text, difference, number, share, words
from datascaler.report.charts import Dot, dots
from datascaler.report.evaluated_models import AVERAGES, Average, EvaluatedModel

_MOST_ROWS = 40
"""A picture has no more rows."""
_MOST_COLUMNS = 8
"""Models beside one another in the table of tasks; another table has all."""
MOST_PAIRED = 4
"""Models whose samples are paired with the baseline's: that takes seconds each at full size."""


def evaluation_section(
    models: Sequence[EvaluatedModel],
    failures: Mapping[str, str],
    unfinished: Sequence[str],
    *,
    baseline: EvaluatedModel | None,
    published: str | None,
    seed: int,
    is_answer: bool,
) -> Section | None:
    """is_answer: whether the page begins with the picture of the averages."""
    if not models and not failures and not unfinished:
        return None
    blocks: list[PageBlock] = [Text(text=f"{url} can't be read: {reason}") for url, reason in failures.items()]
    blocks += [Text(text=f"{url} is not evaluated to the end: it is left out.") for url in unfinished]
    if models:
        if not is_answer:
            blocks.append(averages_picture(models, "averages-picture"))
        blocks.append(_averages_table(models, baseline))
        blocks += _published(models, published)
        if baseline is not None:
            blocks += _differences(models, baseline, seed)
        blocks += _noise(models)
        blocks += _task_tables(models)
        blocks += _faults(models)
    return Section(name="evaluation", title="Evaluation", blocks=blocks)


def averages_picture(models: Sequence[EvaluatedModel], name: str) -> Any:
    """Dots of the average, the best first."""
    rows = [
        Dot(label=each.label, value=average.value, outer=average.interval)
        for each in models[:_MOST_ROWS]
        if (average := each.averages["average"]).value is not None
    ]
    counts = sorted({(each.averages["average"].scored, each.averages["average"].tasks) for each in models})
    of = " or ".join(f"{scored} of {tasks}" for scored, tasks in counts[:3]) + (", ..." if len(counts) > 3 else "")
    says = f"The average over {of} tasks of each model, with its 95% interval over samples where there is one."
    if len(models) > _MOST_ROWS:
        says += f" The best {_MOST_ROWS} of {len(models):,} models."
    return dots(name, "Average over tasks", says, rows, "average of the main metrics")


def _averages_table(models: Sequence[EvaluatedModel], baseline: EvaluatedModel | None) -> Table:
    groups = [name for name in AVERAGES[1:] if any(each.averages[name].scored for each in models)]
    rows = []
    for model in models:
        average = model.averages["average"]
        cells = [words(model.label), share(average.value, average.interval), _of(average)]
        cells += [_group(model.averages[name]) for name in groups]
        if baseline is not None:
            cells.append(_plain_difference(model, baseline))
        rows.append(cells)
    columns = ["model", "average (95%)", "tasks", *groups]
    note = "A group's average is over as many of its tasks as the number behind it says."
    if baseline is not None:
        columns.append(f"less {baseline.label}")
        note += " The difference is over the tasks that both models have a score of; its number is behind it."
    return Table(name="averages", title="Averages", columns=columns, rows=rows, note=note)


def _of(average: Average) -> Cell:
    return Cell(f"{average.scored} of {average.tasks}", average.scored)


def _group(average: Average) -> Cell:
    told = share(average.value)
    return Cell(f"{told.text} ({average.scored} of {average.tasks})", told.value)


def _plain_difference(model: EvaluatedModel, baseline: EvaluatedModel) -> Cell:
    common = [key for key in model.scores if key in baseline.scores]
    if model is baseline or not common:
        return Cell("-", "")
    value = fmean(model.scores[key] for key in common) - fmean(baseline.scores[key] for key in common)
    return Cell(f"{value:+.3f} ({len(common)})", value)


def _published(models: Sequence[EvaluatedModel], scale: str | None) -> list[PageBlock]:
    """DataComp's own results of the runs' scale beside the best of ours."""
    scales = {each.run.spec.scale for each in models if each.run}
    if scale is None:
        if len(scales) != 1:
            return []
        scale = scales.pop()
        try:
            found = published_baselines(scale)
        except ConfigError:  # a scale of the user's own
            return []
    else:
        found = published_baselines(scale)
    best = models[0]
    rows = [[words(f"{best.label}, the best here"), *(_group(best.averages[name]) for name in AVERAGES[:-1])]]
    rows += [
        [
            words(f"{each.strategy} ({each.subset_size})"),
            *(share(_published_value(each, name)) for name in AVERAGES[:-1]),
        ]
        for each in found
    ]
    title = f"Beside published baselines of the {scale} scale"
    note = "Published: DataComp (arXiv 2304.14108), table 3, single runs. Their average is over 38 tasks."
    columns = ["model", *AVERAGES[:-1]]
    return [Table(name="published", title=title, columns=columns, rows=rows, note=note, folded=True)]


def _published_value(baseline: PublishedBaseline, name: str) -> float | None:
    return baseline.averages.get("average_38" if name == "average" else name)


def _differences(models: Sequence[EvaluatedModel], baseline: EvaluatedModel, seed: int) -> list[PageBlock]:
    """The best models less the baseline, over the same samples."""
    others = [each for each in models if each is not baseline][:MOST_PAIRED]
    if not others:
        return []
    found = compare_results([baseline.url, *(each.url for each in others)], seed=seed)
    rows = [
        Dot(label=row.name, series=other.label, value=value, outer=row.intervals[place])
        for row in found.averages
        for place, other in enumerate(others, 1)
        if (value := row.differences[place]) is not None
    ]
    of = f"the best {len(others)} of {len(models) - 1:,} others" if len(models) - 1 > len(others) else "the others"
    says = (
        f"Averages of {of} less those of {baseline.label}, over the tasks that all of them have, with 95% intervals "
        "over paired samples where these are there. Another training seed is not in the interval."
    )
    picture = dots("differences", f"Differences from {baseline.label}", says, rows, "difference", zero=True)
    return [*([picture] if rows else []), _difference_table(found, baseline, others)]


def _noise(models: Sequence[EvaluatedModel]) -> list[PageBlock]:
    """How far the training seed alone moves each score, where runs have several seeds."""
    keys = list(dict.fromkeys(key for model in models for key in model.scores))
    averages = [(name, [each.averages[name].value for each in models]) for name in AVERAGES]
    found = seed_noise(
        [without_seed(each.run.spec) if each.run else None for each in models],
        [*averages, *((key, [each.scores.get(key) for each in models]) for key in keys)],
    )
    if not found:
        return []
    rows = [
        [words(each.name), number(each.noise, 3), number(each.signal, 3), number(each.ratio, 3), number(each.runs)]
        for each in found
    ]
    note = (
        "Noise is the standard deviation of runs that differ in their seed alone, signal the largest difference "
        "between the means of two configurations; a task whose ratio is about 1 tells nothing."
    )
    columns = ["task", "noise", "signal", "signal by noise", "runs"]
    return [Table(name="seeds", title="Spread over seeds", columns=columns, rows=rows, note=note, folded=True)]


def _difference_table(found: Comparison, baseline: EvaluatedModel, others: Sequence[EvaluatedModel]) -> Table:
    def cells(row: ComparedScores) -> list[Cell]:
        name = f"{row.name} ({row.scored} of {row.tasks})" if row.tasks > 1 else row.name
        of_models = [difference(row.differences[at], row.intervals[at]) for at in range(1, len(others) + 1)]
        return [words(name), share(row.scores[0]), *of_models, words(row.note.replace(baseline.url, baseline.label))]

    return Table(
        name="difference-table",
        title=f"Differences from {baseline.label}, by task",
        columns=["task", baseline.label, *(each.label for each in others), "note"],
        rows=[cells(row) for row in (*found.averages, *found.tasks)],
        note="In brackets the 95% interval over paired samples; a * marks one without 0 in it.",
        folded=True,
    )


def _task_tables(models: Sequence[EvaluatedModel]) -> list[PageBlock]:
    keys = list(dict.fromkeys(key for model in models for key in model.scores))
    listed = [task.key for task in load_tasks()]
    keys.sort(key=lambda key: listed.index(key) if key in listed else len(listed))
    shown = models[:_MOST_COLUMNS]
    rows = [[words(key), *(share(each.scores.get(key), each.intervals.get(key)) for each in shown)] for key in keys]
    best = f", of the best {len(shown)} of {len(models):,} models" if len(models) > len(shown) else ""
    note = "The main metric, with its 95% interval over samples where there is one."
    made: list[PageBlock] = [
        Table(
            name="tasks",
            title=f"Every task{best}",
            columns=["task", *(each.label for each in shown)],
            rows=rows,
            note=note,
        )
    ]
    if len(models) > len(shown):
        all_rows = [[words(each.label), *(share(each.scores.get(key)) for key in keys)] for each in models]
        title = f"Every task of all {len(models):,} models"
        made.append(Table(name="all-tasks", title=title, columns=["model", *keys], rows=all_rows, folded=True))
    return made


def _faults(models: Sequence[EvaluatedModel]) -> list[PageBlock]:
    failed = [(each.label, key, reason) for each in models for key, reason in each.failed.items()]
    if not failed:
        return []
    rows = [[words(label), words(key), words(reason)] for label, key, reason in failed]
    title = "Tasks that failed"
    return [Table(name="failed-tasks", title=title, columns=["model", "task", "reason"], rows=rows)]
