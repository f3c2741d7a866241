"""Which part of a work that several workers share is this one's: by flags, by Kubernetes, or by Slurm.

Kubernetes numbers the pods of an Indexed Job (JOB_COMPLETION_INDEX), Slurm the tasks of an array (SLURM_ARRAY_TASK_*)
and the tasks that `srun` starts in one step (SLURM_PROCID of SLURM_STEP_NUM_TASKS).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from datascaler.errors import ConfigError
from datascaler.safe_text import shown

_LONGEST_NUMBER = 9
"""Digits; what is longer is no number of a worker."""
_OTHERS = (
    *("PBS_ARRAY_INDEX", "PBS_ARRAYID", "SGE_TASK_ID", "LSB_JOBINDEX"),
    *("AWS_BATCH_JOB_ARRAY_INDEX", "CLOUD_RUN_TASK_INDEX", "BATCH_TASK_INDEX"),
    *("OMPI_COMM_WORLD_RANK", "PMI_RANK", "PARALLEL_SEQ"),
)
"""What others number their workers by, some of them from 1, and most without a word of how many there are."""
_NO_NUMBER = ("", "0", "undefined")
"""What some of them say where there is one worker; the first of several does the whole, too."""
_REMEDY = "give both --index and --count"


@dataclass(frozen=True, slots=True)
class WorkShare:
    """The items `index`, `index + count`, ... of all."""

    index: int
    count: int
    taken_from: str = ""
    """The variable that says which worker this is, if it was not the flags."""
    left_open: str = ""
    """A number that another starter gave this worker, which does the whole work, because nobody said what it means."""


@dataclass(frozen=True, slots=True)
class _Place:
    """What one starter of workers says."""

    index: int
    count: int | None
    index_name: str
    count_name: str = ""


def work_share(
    environ: Mapping[str, str],
    index: int | None = None,
    count: int | None = None,
    indexes: Sequence[int] | None = None,
) -> WorkShare:
    """This worker's share. What is not given comes from the variables; what is must agree with them, unless both are.

    indexes: some of the workers again; then the variables, and `index`, say a place in this list.
    Raises ConfigError where it stays open which of several workers this is, and where two sources differ.
    """
    if indexes is None:
        return _share(environ, index, count, "--count is")
    count = 1 if count is None else count
    beyond = [each for each in indexes if each >= count]
    if beyond:
        raise ConfigError(f"--indexes has {beyond[0]}, but with --count {count} the last one is {count - 1}")
    place = _share(environ, index, len(indexes), "the length of --indexes is")
    return WorkShare(indexes[place.index], count, place.taken_from)


def _share(environ: Mapping[str, str], index: int | None, count: int | None, flag: str) -> WorkShare:
    place = _only_place(environ) if index is None or count is None else None
    if place is None:
        other = _other_number(environ)
        is_open = index is None and count is None
        count = 1 if count is None else count
        if index is None and count > 1:
            hint = f"; {other}, and may begin at 0 or 1" if other else ""
            raise ConfigError(
                f"{flag} {count}, and nothing says which worker this is: give --index, from 0 to {count - 1}{hint}"
            )
        share = WorkShare(index or 0, count, left_open=other if is_open else "")
    else:
        if place.count is not None and count not in (None, place.count):
            raise ConfigError(f"{place.count_name} is {place.count}, but {flag} {count}: {_REMEDY}")
        if index not in (None, place.index):
            raise ConfigError(f"{place.index_name} says {place.index}, but --index is {index}: {_REMEDY}")
        share = WorkShare(place.index, count or place.count or 1, place.index_name)
    if share.count < 1:
        raise ConfigError(f"{flag} {share.count}: it must be at least 1")
    if not 0 <= share.index < share.count:
        name = share.taken_from or "--index"
        raise ConfigError(f"{name} is {share.index}, but {flag} {share.count}: indexes go from 0 to {share.count - 1}")
    return share


def _only_place(environ: Mapping[str, str]) -> _Place | None:
    found = list(_places(environ))
    if len(found) > 1:
        raise ConfigError(f"{found[0].index_name} and {found[1].index_name} both number the workers: {_REMEDY}")
    return found[0] if found else None


def _places(environ: Mapping[str, str]) -> Iterator[_Place]:
    if "JOB_COMPLETION_INDEX" in environ:
        yield _Place(_number(environ, "JOB_COMPLETION_INDEX"), None, "JOB_COMPLETION_INDEX")
    if "SLURM_ARRAY_TASK_ID" in environ:
        yield _array_place(environ)
    # A batch script is no task of a step, although it has a SLURM_PROCID, of 0.
    is_alone = environ.get("SLURM_STEP_NUM_TASKS", "1") == "1"
    index = _number(environ, "SLURM_PROCID", 0 if is_alone else None)
    tasks = _number(environ, "SLURM_STEP_NUM_TASKS", None if index else 1)
    if index >= tasks:
        raise ConfigError(f"SLURM_PROCID is {index} of SLURM_STEP_NUM_TASKS {tasks}: {_REMEDY}")
    if tasks > 1:
        yield _Place(index, tasks, "SLURM_PROCID", "SLURM_STEP_NUM_TASKS")


def _array_place(environ: Mapping[str, str]) -> _Place:
    """The place among an array's tasks, which have equal steps between them, or else no order that a task knows."""
    task, first, last, count = (_number(environ, f"SLURM_ARRAY_TASK_{name}") for name in ("ID", "MIN", "MAX", "COUNT"))
    step = _number(environ, "SLURM_ARRAY_TASK_STEP", 1)
    if step < 1 or not first <= task <= last or (task - first) % step or (last - first) // step + 1 != count:
        raise ConfigError(
            f"SLURM_ARRAY_TASK_ID is {task} of {count} between {first} and {last}, a list with holes, in which a task "
            f"can't tell its place: {_REMEDY}"
        )
    return _Place((task - first) // step, count, "SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT")


def _other_number(environ: Mapping[str, str]) -> str:
    found = next((name for name in _OTHERS if environ.get(name, "") not in _NO_NUMBER), "")
    return f"{found} is {shown(environ[found])}" if found else ""


def _number(environ: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = environ.get(name)
    if text is None and default is not None:
        return default
    if text is None or not (text.isascii() and text.isdigit()) or len(text) > _LONGEST_NUMBER:
        raise ConfigError(
            f"{name} is {'not set' if text is None else shown(text)}, so this worker can't tell its place: {_REMEDY}"
        )
    return int(text)
