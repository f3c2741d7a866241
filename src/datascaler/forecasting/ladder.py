"""The runs that a forecast starts from: which filter, at which size and samples, with which scores."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from statistics import fmean

from datascaler import storage
from datascaler.data.runs.run_folder import find_runs, finished, read_run, why_ended_early
from datascaler.data.subset.subset import read_recipe
from datascaler.errors import ConfigError, NotFoundError, StorageError
from datascaler.evaluate.tasks import load_tasks
from datascaler.forecasting.published import METRICS
from datascaler.spec.scales import SCALES
from datascaler.spec.train import TrainSpec

_GROUPS = {"shifts": "IN shifts", "vtab": "VTAB", "retrieval": "Retrieval"}


@dataclass(frozen=True, slots=True)
class LadderRun:
    """A finished run that was evaluated."""

    url: str
    spec: TrainSpec
    scores: Mapping[str, float]
    """Main metric of each task, by its key."""
    pool: float | None
    """Samples that its filter chose from; None where nothing says it."""
    kept: float
    """The part of them that it was trained on."""

    @property
    def filter(self) -> str:
        """`clip-f0.3`, as in the run's folder."""
        return self.spec.subset_name

    @property
    def point(self) -> tuple[str, Fraction, int]:
        return self.spec.model_arch, self.spec.width_mult, self.spec.train_num_samples

    @property
    def scale(self) -> str | None:
        """DataComp's scale, if it is that recipe's model and samples."""
        row = SCALES.get(self.spec.scale)
        return row.name if row and self.point == (row.arch, Fraction(1), row.train_num_samples) else None

    def published_metrics(self) -> dict[str, float]:
        """Those of DataComp's table that its tasks make up."""
        return {name: value for name in METRICS if (value := _published_metric(self.scores, name)) is not None}


def read_ladder(folders: Sequence[str]) -> tuple[list[LadderRun], dict[str, str]]:
    """All usable runs at or below the folders, and why each other one is left out, by URL.

    Raises ConfigError where there is none.
    """
    runs: dict[str, LadderRun] = {}
    left_out: dict[str, str] = {}
    for folder in folders:
        for url in find_runs(folder):
            try:
                runs[url] = _read(url)
            except (ConfigError, StorageError) as error:
                left_out[url] = str(error)
    if not runs:
        reasons = (f"{url}: {reason}" for url, reason in left_out.items())
        raise ConfigError(f"no run in {', '.join(folders)} is finished and evaluated", *reasons)
    _require_one_subset_a_name(runs.values())
    return list(runs.values()), left_out


def best_settings(runs: Iterable[LadderRun], values: Mapping[str, float]) -> list[LadderRun]:
    """The runs of the best settings that a filter was trained with at each point, with all their seeds."""
    tried: dict[object, dict[object, list[LadderRun]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        spec = run.spec
        settings = (spec.lr, spec.weight_decay, spec.warmup_steps, spec.batch_size, spec.use_mup, spec.min_width_mult)
        tried[run.filter, run.point][settings].append(run)
    chosen = []
    for by_settings in tried.values():
        chosen += max(by_settings.values(), key=lambda group: fmean(values[run.url] for run in group))
    return chosen


def metric_values(runs: Sequence[LadderRun], metric: str) -> tuple[dict[str, float], str | None, int]:
    """Each run's value by its URL, the metric of DataComp's table that it is (None for another), and how many tasks.

    Raises ConfigError, naming what there is, where the runs don't share it.
    """
    common = set.intersection(*(set(run.scores) for run in runs))
    if metric in METRICS:
        published = {run.url: _published_metric(run.scores, metric) for run in runs}
        found = {url: value for url, value in published.items() if value is not None}
        if len(found) == len(runs):
            return found, metric, len(_tasks_of(metric))
    if metric == "average" and common:
        return {run.url: fmean(run.scores[key] for key in common) for run in runs}, None, len(common)
    keys = [task.key for task in load_tasks() if metric in (task.key, task.name)] or [metric]
    if keys[0] in common:
        return {run.url: run.scores[keys[0]] for run in runs}, None, 1
    raise ConfigError(
        f"not every run has {metric!r} among its results; tasks that all {len(runs)} have: "
        f"{', '.join(sorted(common)) or 'none'}"
    )


def _read(url: str) -> LadderRun:
    spec = read_run(url)
    if why := why_ended_early(url):
        raise ConfigError(why)
    if finished(url) is None:
        raise ConfigError("it is not complete")
    try:
        lines = storage.read_text(storage.join(url, "eval", "eval_results.jsonl")).splitlines()
    except NotFoundError:
        raise ConfigError("it has no eval_results.jsonl: run `datascaler eval` on it") from None
    scores = dict(filter(None, map(_score, lines)))
    if not scores:
        raise ConfigError("its eval_results.jsonl has no main metric of any task")
    recipe = read_recipe(spec.subset_file) if spec.subset_file else None
    rows, kept = (recipe or {}).get("rows"), (recipe or {}).get("distinct_uids", (recipe or {}).get("kept_uids"))
    if isinstance(rows, int) and isinstance(kept, int) and 0 < kept <= rows:
        return LadderRun(url, spec, scores, float(rows), kept / rows)
    if spec.fraction is None:
        raise ConfigError("nothing says which fraction of its pool it was trained on: give --fraction to `train`")
    # DataComp's pools have as many samples as a run of their scale sees.
    row = SCALES.get(spec.scale)
    return LadderRun(url, spec, scores, float(row.train_num_samples) if row else None, float(spec.fraction))


def _score(line: str) -> tuple[str, float] | None:
    try:
        record = json.loads(line)
        value = record["metrics"]["main_metric"]
        if value is None:
            return None
        if not 0 <= float(value) <= 1:  # NaN is not, either
            raise ValueError(value)
        return str(record["key"]), float(value)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigError(f"its eval_results.jsonl has a line that is no result ({line[:60]!r})") from error


@cache
def _tasks_of(metric: str) -> list[str]:
    """Keys of the tasks that make up a metric of DataComp's table."""
    scored = [task for task in load_tasks() if task.main_metric]
    if metric == "average":
        return [task.key for task in scored]
    if metric == "imagenet":
        return [task.key for task in scored if task.group == "ImageNet"]
    return [task.key for task in scored if task.group == _GROUPS[metric]]


def _published_metric(scores: Mapping[str, float], metric: str) -> float | None:
    keys = _tasks_of(metric)
    return fmean(scores[key] for key in keys) if all(key in scores for key in keys) else None


def _require_one_subset_a_name(runs: Iterable[LadderRun]) -> None:
    """Two filters under one name would be taken for two seeds of one."""
    seen: dict[object, LadderRun] = {}
    for run in runs:
        if run.spec.subset_file is None:
            continue
        other = seen.setdefault((run.filter, run.spec.data_dir, run.spec.scale), run)
        if other.spec.subset_file != run.spec.subset_file:
            raise ConfigError(
                f"{run.filter} is {other.spec.subset_file} in {other.url} and {run.spec.subset_file} in {run.url}: "
                "give the runs of each subset a --method of their own, or forecast them apart"
            )
