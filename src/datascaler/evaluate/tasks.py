"""The list of evaluation tasks: DataComp's tasklist.yml, or one of the same columns that a user brings."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import Any

from datascaler import storage
from datascaler.errors import BadInputError, ConfigError, NotFoundError
from datascaler.evaluate.hub.stored_set import stored_folder
from datascaler.safe_text import shown
from datascaler.tools.plain_yaml import load_yaml

TASKLIST = "tasklist.yml"
_FOLDERS_WITHOUT = ("fairness/", "misc/", "retrieval/")
_DEFAULT_METRIC = "acc1"

GROUPS = ("ImageNet", "IN shifts", "VTAB", "Retrieval")
"""Those whose averages DataComp reports."""

DECISION_SET = (
    *("vtab/caltech101", "cifar10", "vtab/cifar100", "food101", "gtsrb", "imagenet1k", "imagenet_sketch", "imagenet-r"),
    *("objectnet", "vtab/flowers", "voc2007", "vtab/resisc45", "stl10", "sun397"),
)
"""The tasks that tell filters apart at small scale. On DataComp's released models of its filters: at small and at
medium scale the scores differ by at least 4 sampling errors between filters (standard deviations), every small model
is above chance, and every medium model above every small one. `tests/evaluate/test_published.py` chooses them anew and
measures how well their average at a small scale orders filters as the 38 do at a larger one."""

NAMED_REGIONS = {"acc_worst_region": "acc_worst_named_region"}
"""DataComp's main metric of FMoW -> the variant that leaves out the 4 images of the region "Other"."""


@dataclass(frozen=True, slots=True)
class Task:
    """One row of the task list."""

    key: str
    name: str
    size: int
    """Samples in the test split. A set that holds fewer is refused, one that holds more is evaluated with a warning."""
    main_metric: str | None = _DEFAULT_METRIC
    """The metric that enters the average; None for a task that is reported only."""
    num_classes: int | None = None
    random_score: float | None = None
    group: str | None = None
    """The part of the benchmark whose average it belongs to: ImageNet, IN shifts, VTAB, Retrieval, ..."""
    other: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """Columns that evaluation does not use, as they were read."""

    @property
    def slug(self) -> str:
        """The key as a file name."""
        return self.key.replace("/", "-")


def task_fields(task: Task) -> dict[str, Any]:
    """What a result depends on, as it is recorded beside it."""
    return {each.name: getattr(task, each.name) for each in fields(Task) if each.name != "other"}


def require_whole(task: Task, samples: int) -> None:
    """Refuse the score of a set that has lost samples: its number is not that of the task."""
    if samples < task.size:
        raise BadInputError(
            f"its set holds {samples:,} of {task.size:,} samples: download it again, or take it as it is with "
            "--allow-partial-sets; a set that is smaller on purpose is a task of its own (--task-dir)"
        )


def main_metric_of(name: str | None, metrics: Mapping[str, Any], *, paper_compatible: bool) -> str | None:
    """The main metric that counts: FMoW's is the variant without the region "Other", unless DataComp's is asked for."""
    variant = NAMED_REGIONS.get(name or "")
    return variant if variant in metrics and not paper_compatible else name


def samples_url(output_dir: str, key: str) -> str:
    """Where the samples of a task are kept."""
    return storage.join(output_dir, "eval_samples", f"{key.replace('/', '-')}.parquet")


def load_tasks(task_dir: str | None = None) -> list[Task]:
    """The tasks of `task_dir`/tasklist.yml in its order; without a folder, the 40 of DataComp."""
    if task_dir is None:
        return list(_shipped())
    source = storage.join(task_dir, TASKLIST)
    try:
        text = storage.read_text(source)
    except NotFoundError as error:
        raise ConfigError(f"task-dir {task_dir} holds no {TASKLIST}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{source}: not UTF-8 ({error})") from error
    # DataComp's own file has no group column: its groups are those of the shipped list.
    return _parse(text, source, groups={task.key: task.group for task in load_tasks()})


def select_tasks(tasks: Sequence[Task], names: Iterable[str]) -> list[Task]:
    """The tasks that any of `names` matches by key or by name, globs allowed, in list order; all for no names."""
    patterns = [name.lower() for name in names]
    for pattern in patterns:
        if not any(_matches(task, pattern) for task in tasks):
            known = [label for task in tasks for label in (task.key, task.name)]
            by_lower = {label.lower(): label for label in known}
            close = [by_lower[match] for match in get_close_matches(pattern, by_lower, n=3)]
            remedy = f"did you mean {', '.join(close)}?" if close else f"known: {', '.join(t.key for t in tasks)}"
            raise ConfigError(f"no task is called {pattern!r}; {remedy}")
    return [task for task in tasks if not patterns or any(_matches(task, pattern) for pattern in patterns)]


def folder_names(task: Task) -> list[str]:
    """The folder names that a task's data may have, DataComp's own first."""
    short = task.key
    for prefix in _FOLDERS_WITHOUT:
        short = short.removeprefix(prefix)
    names = [f"wds_{short.replace('/', '-')}_test", f"wds_{task.slug}_test", task.key]
    return list(dict.fromkeys(names))


def folder_of(data_dir: str, task: Task) -> str | None:
    """Where the task's evaluation set lies below `data_dir`; None if it is not there."""
    candidates = (storage.join(data_dir, name) for name in folder_names(task))
    found = next((folder for folder in candidates if storage.exists(folder)), None)
    return found or stored_folder(data_dir, task.key)


@cache
def _shipped() -> tuple[Task, ...]:
    text = files("datascaler.evaluate").joinpath(TASKLIST).read_text("utf-8")
    return tuple(_parse(text, TASKLIST, groups={}))


def _matches(task: Task, pattern: str) -> bool:
    return fnmatchcase(task.key.lower(), pattern) or fnmatchcase(task.name.lower(), pattern)


def _parse(text: str, source: str, groups: Mapping[str, str | None]) -> list[Task]:
    try:
        table = load_yaml(text)
    except ConfigError as error:
        raise ConfigError(f"{source}: not valid YAML ({error})") from error
    if not isinstance(table, dict) or not table:
        raise ConfigError(f"{source}: must map task keys to their columns")
    tasks = [_task(key, row, source, groups) for key, row in table.items()]
    for what, labels in (("name", [t.name for t in tasks]), ("key as a file name", [t.slug for t in tasks])):
        repeated = sorted({label for label in labels if labels.count(label) > 1})
        if repeated:
            raise ConfigError(f"{source}: two tasks have the same {what}: {', '.join(repeated)}")
    return tasks


def _task(key: object, row: object, source: str, groups: Mapping[str, str | None]) -> Task:
    if not isinstance(key, str) or not key:
        raise ConfigError(f"{source}: task key {shown(key)} must be text")
    if any(part in ("", ".", "..") for part in key.split("/")) or "\\" in key:
        raise ConfigError(f"{source}: task key {shown(key)} must name a folder below --data-dir")
    if not isinstance(row, dict):
        raise ConfigError(f"{source}: task {key}: must be a mapping of columns, got {shown(row)}")
    columns = {"main_metric": _DEFAULT_METRIC, "group": groups.get(key), **row}
    values: dict[str, Any] = {}
    for name, (expected, required, accepts) in _COLUMNS.items():
        value = columns.get(name)
        if (value is None and required) or (value is not None and not accepts(value)):
            raise ConfigError(f"{source}: task {key}: {name} must be {expected}, got {shown(value)}")
        values[name] = value
    other = {name: value for name, value in row.items() if name not in _COLUMNS or name in _KEPT_AS_READ}
    return Task(key=key, other=other, **{name: values[name] for name in _COLUMNS if name not in _KEPT_AS_READ})


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_tags(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(tag, str) for tag in value))


_COLUMNS: dict[str, tuple[str, bool, Callable[[object], bool]]] = {
    "name": ("text", True, _is_text),
    "size": ("a positive integer", True, _is_count),
    "main_metric": ("the name of a metric, or null", False, _is_text),
    "num_classes": ("a positive integer", False, _is_count),
    "random_score": ("a number", False, _is_number),
    "group": ("text", False, _is_text),
    "time": ("a number of seconds", False, _is_number),
    "tags": ("text or a list of texts", False, _is_tags),
}
"""Column -> what it must be in words, whether a row needs it, and the test. None passes where it is not needed."""
_KEPT_AS_READ = {"time", "tags"}
