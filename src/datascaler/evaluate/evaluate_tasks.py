"""Evaluate a model on a list of tasks: the part of one worker, and the common files once every part is there."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from datascaler import storage
from datascaler.errors import BadInputError, ConfigError, DatascalerError, OtherResultError, StorageError
from datascaler.evaluate.associate import associate
from datascaler.evaluate.classify import classify
from datascaler.evaluate.evalset import ASSOCIATION, CLASSIFICATION, FACES, RETRIEVAL, EvalSet, open_evalset
from datascaler.evaluate.faces import FACE_FIELDS, classify_faces
from datascaler.evaluate.group_metrics import GROUP_FIELDS
from datascaler.evaluate.read_result import read_answers
from datascaler.evaluate.results import (
    Outcome,
    Results,
    forget_failure,
    model_fields,
    publish_failure,
    publish_lines,
    publish_task,
    read_failures,
    read_results,
    with_main_metric,
)
from datascaler.evaluate.retrieve import retrieve
from datascaler.evaluate.summary import EvalSummary, summarise
from datascaler.evaluate.tasks import Task, folder_names, folder_of, require_whole
from datascaler.models.loaded import LoadedClip
from datascaler.progress import progress

_KINDS = {"misc/winogavil": ASSOCIATION, "fairness/fairface": FACES, "fairness/utkface": FACES}
"""What the sets of these tasks are where they do not say it."""


@dataclass(frozen=True, slots=True)
class _Job:
    task: Task
    evalset: EvalSet
    may_be_partial: bool
    """Whether a set of fewer samples than the task's is evaluated."""


def evaluate_tasks(
    model: LoadedClip,
    *,
    data_dir: str,
    output_dir: str,
    tasks: Sequence[Task],
    batch_size: int = 64,
    num_workers: int = 4,
    index: int = 0,
    count: int = 1,
    overwrite: bool = False,
    missing_ok: bool = False,
    allow_partial_sets: bool = False,
    paper_compatible: bool = False,
    listed: Sequence[Task] = (),
    say: Callable[[str], None] = lambda _: None,
) -> EvalSummary:
    """Do `tasks[index::count]` and skip what is done; the worker that finds nothing pending writes the common files.

    Args:
        overwrite: replace results of another model, task definition or data instead of refusing them.
        missing_ok: list tasks whose data is absent instead of refusing to start.
        allow_partial_sets: evaluate sets that hold fewer samples than their task, with a warning, instead of refusing.
        paper_compatible: FMoW's main metric is DataComp's.
        listed: the list that the tasks were selected from, of which averages are a part; none is the tasks themselves.

    Raises BadInputError, after all other tasks are done and published, for evaluation sets that can't be used, or not
    whole, and OtherResultError where all that failed have a result of something else; either has the summary as
    `finished`.
    """
    _require_settings(tasks, batch_size, num_workers, index, count)
    storage.check_writable(output_dir)
    done = read_results(output_dir, model, overwrite=overwrite)
    folders = {task.key: folder_of(data_dir, task) for task in tasks}
    missing = [task for task in tasks if folders[task.key] is None and not done.is_done(task)]
    _require_data(data_dir, tasks, missing, missing_ok=missing_ok)
    failures = _Failures(output_dir, say)
    jobs = []
    # Every set is opened before any is evaluated, so that a broken one is told of at once.
    for task in tasks[index::count]:
        folder = folders[task.key]
        if folder is None:
            continue
        forget_failure(output_dir, task)
        with failures.noted(task):
            job = _open(task, folder, may_be_partial=allow_partial_sets)
            if not _is_done(job, done, overwrite=overwrite):
                jobs.append(job)
    with progress(sum(job.task.size for job in jobs), "eval", unit="image") as bar:
        course = _Course(jobs, say, bar.update)
        for job in jobs:
            outcome = None
            with failures.noted(job.task):
                outcome = _evaluate_task(model, job, batch_size, num_workers, course.advance)
            if outcome:
                publish_task(output_dir, job.task, model, job.evalset, outcome)
            course.ended(job, outcome)
    summary = _assemble(
        model, output_dir, tasks, missing, listed or tasks, overwrite=overwrite, paper_compatible=paper_compatible
    )
    failures.add_unreadable(summary, tasks[index::count])
    failures.raise_any(summary)
    return summary


class _Course:
    """How far this worker is in its tasks: a bar over their images, and a line a task where nobody sees a bar."""

    def __init__(self, jobs: Sequence[_Job], say: Callable[[str], None], update: Callable[[int], object]) -> None:
        self._jobs, self._say, self._update = jobs, say, update
        self._started = time.monotonic()
        self._ended = self._images = 0
        """Tasks, and the images that the list gives them."""
        self._shown = 0

    def advance(self, images: int) -> None:
        self._shown += images
        self._update(images)

    def ended(self, job: _Job, outcome: Outcome | None) -> None:
        self._ended, self._images = self._ended + 1, self._images + job.task.size
        # A set may have more or fewer images than the list says.
        self.advance(self._images - self._shown)
        left = sum(each.task.size for each in self._jobs) - self._images
        seconds = (time.monotonic() - self._started) * left / self._images
        score = outcome.metrics.get(job.task.main_metric or "") if outcome else None
        told = "" if score is None else f": {job.task.main_metric} {score:.4f}"
        to_go = f", about {timedelta(seconds=round(seconds))} to go" if left else ""
        self._say(f"{job.task.key}{told} ({self._ended} of {len(self._jobs)} tasks{to_go})")


@dataclass(slots=True)
class _Failures:
    """The tasks of this worker that can't be evaluated; the others go on."""

    output_dir: str
    say: Callable[[str], None]
    errors: dict[str, DatascalerError] = field(default_factory=dict)
    """Why each of them can't be, by task key."""

    @contextmanager
    def noted(self, task: Task) -> Iterator[None]:
        """Inside is work on this task's own data alone, so what fails there says nothing about other tasks."""
        try:
            yield
        except (BadInputError, ConfigError, StorageError) as error:
            self.errors[task.key] = error
            publish_failure(self.output_dir, task, str(error))
            self.say(f"{task.key} can't be evaluated, the others go on: {error}")

    def add_unreadable(self, summary: EvalSummary, tasks: Sequence[Task]) -> None:
        """Tasks with a score that is not of all their images: it stands, and is no success."""
        for key, row in summary.by_task.items():
            bad, of = row["bad_images"], (row["bad_images"] or 0) + (row["images"] or 0)
            if bad and any(task.key == key for task in tasks):
                problem = f"{bad:,} of {of:,} images do not decode, and its score is over the others"
                self.errors[key] = BadInputError(f"{problem}: download the set again, and overwrite the result")

    def raise_any(self, summary: EvalSummary) -> None:
        if self.errors:
            refused = all(isinstance(error, OtherResultError) for error in self.errors.values())
            kind = OtherResultError if refused else BadInputError
            raise kind("; ".join(f"{key}: {error}" for key, error in self.errors.items())).after(summary)


def _require_settings(tasks: Sequence[Task], batch_size: int, num_workers: int, index: int, count: int) -> None:
    if not tasks:
        raise ConfigError("no tasks to evaluate")
    for name, value in (("batch-size", batch_size), ("num-workers", num_workers), ("count", count)):
        if value < 1:
            raise ConfigError(f"{name} must be at least 1, got {value}")
    if not 0 <= index < count:
        raise ConfigError(f"index must be from 0 to count - 1 = {count - 1}, got {index}")


def _require_data(data_dir: str, tasks: Sequence[Task], missing: Sequence[Task], *, missing_ok: bool) -> None:
    if not missing or (missing_ok and len(missing) < len(tasks)):
        return
    names = ", ".join(task.key for task in missing)
    expected = folder_names(missing[0])[0]
    raise ConfigError(f"no data below {data_dir} for {names}; a folder like {expected} is expected")


def _open(task: Task, folder: str, *, may_be_partial: bool) -> _Job:
    kind = _KINDS.get(task.key, CLASSIFICATION)
    needed = len(FACE_FIELDS if kind == FACES else GROUP_FIELDS.get(task.key, ()))
    evalset = open_evalset(folder, kind, needed, key=task.key)
    classes = len(evalset.classnames)
    if classes and task.num_classes and classes != task.num_classes:
        blank = evalset.classnames.count("")
        raise ConfigError(
            f"{folder}/classnames.txt has {classes} classes{f', {blank} of them blank' if blank else ''}, the task has "
            f"{task.num_classes}: each score would be of another question"
        )
    return _Job(task, evalset, may_be_partial)


def _is_done(job: _Job, done: Results, *, overwrite: bool) -> bool:
    """A result of the same model, task and data. A different one is refused, unless it may be overwritten."""
    try:
        done.require_same(job.task, job.evalset)
    except ConfigError:
        if overwrite:
            return False
        raise
    is_done = done.is_done(job.task)
    if is_done and not job.may_be_partial:
        require_whole(job.task, done.samples(job.task))
    return is_done


def _evaluate_task(
    model: LoadedClip, job: _Job, batch_size: int, num_workers: int, advance: Callable[[int], object]
) -> Outcome:
    measures: dict[str, Callable[..., Outcome]] = {
        CLASSIFICATION: partial(classify, key=job.task.key),
        RETRIEVAL: retrieve,
        ASSOCIATION: associate,
        FACES: classify_faces,
    }
    outcome = measures[job.evalset.kind](
        model, job.evalset, batch_size=batch_size, num_workers=num_workers, advance=advance
    )
    if not job.may_be_partial:
        require_whole(job.task, outcome.images + outcome.bad_images)
    wanted = job.task.main_metric
    if wanted and outcome.images and wanted not in outcome.metrics:
        raise ConfigError(f"its main metric {wanted} is none that is computed: {', '.join(outcome.metrics)}")
    return outcome


def _assemble(
    model: LoadedClip,
    output_dir: str,
    tasks: Sequence[Task],
    missing: Sequence[Task],
    listed: Sequence[Task],
    *,
    overwrite: bool,
    paper_compatible: bool,
) -> EvalSummary:
    """The summary of everything in the folder; published together with the lines if no task is pending."""
    results = read_results(output_dir, model, overwrite=overwrite)
    absent = {task.key for task in missing}
    unfinished = [task for task in tasks if task.key not in absent and not results.is_done(task)]
    failed = read_failures(output_dir)
    pending = [task.key for task in unfinished if task.key not in failed]
    order = {task.key: place for place, task in enumerate(tasks)}
    # Results of earlier selections in this folder come after those of this one.
    keys = sorted(results.records, key=lambda key: (order.get(key, len(order)), key))
    without = absent.union(pending, failed)
    records = [
        with_main_metric(results.records[key], paper_compatible=paper_compatible) for key in keys if key not in without
    ]
    summary = summarise(
        listed,
        records,
        model=model_fields(model),
        missing=[task.key for task in missing],
        pending=pending,
        failed=failed,
        samples=None if pending else partial(read_answers, output_dir),
    )
    if not pending:
        publish_lines(output_dir, records)
        storage.publish_json(storage.join(output_dir, "eval_summary.json"), summary.to_json())
    return summary
