"""A sweep: the points of a grid one after another, each a run of its own, the best, and the optimum at full width."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from datascaler.data.runs.run_folder import folder_fault, run_url
from datascaler.data.runs.sweep_results import SweepResult, collect_sweep
from datascaler.data.runs.transfer_spec import transfer_spec
from datascaler.errors import (
    BadInputError,
    ChildError,
    ConfigError,
    DamagedError,
    DatascalerError,
    DivergedError,
    GivenUpError,
    StorageError,
)
from datascaler.spec.numbers import format_fraction
from datascaler.spec.sweep import MORE_AXES, SweepSpec
from datascaler.spec.train import TrainSpec
from datascaler.sweep.hopeless import from_the_middle, with_limits
from datascaler.train.launch_torchrun import needs_torchrun, take_place, train_under_torchrun
from datascaler.train.train_clip import train_clip


def sweep_runs(
    points: Sequence[TrainSpec],
    nproc_per_node: int = 1,
    say: Callable[[str], None] = lambda _: None,
    *,
    stop_above: float = 0.0,
) -> SweepResult:
    """Train every point that is not complete yet. One that diverges has left a record, and the sweep goes on.

    stop_above: as of SweepSpec; `hopeless` has the rule.

    It also goes on after a point whose data or folder can't be used; what is wrong for all of them stops it, and the
    ranking of those that are complete is the error's `finished`.

    On several nodes each node calls this with the same points and the usual torchrun variables.
    """
    failures: dict[str, str] = {}
    for number, spec in enumerate(from_the_middle(points) if stop_above else points, start=1):
        say(f"--- point {number} of {len(points)}: {_named(spec, points)}")
        try:
            _train_point(with_limits(spec, points, stop_above) if stop_above else spec, nproc_per_node, say)
        except GivenUpError as error:
            say(f"this point is hopeless: {error}")
        except DivergedError as error:
            say(f"this point diverged: {error}")
        except (BadInputError, ConfigError, StorageError, ChildError) as error:
            if not _is_of_point(error, spec):
                with suppress(DatascalerError):
                    error.after(collect_sweep(points, failures))
                raise
            failures[run_url(spec)] = str(error)
            say(f"this point failed, the others go on: {error}")
    return collect_sweep(points, failures)


def train_transfer(
    sweep: SweepSpec, result: SweepResult, nproc_per_node: int = 1, say: Callable[[str], None] = lambda _: None
) -> str:
    """Train the run of `transfer_spec`, as points are trained, and return its URL."""
    spec = transfer_spec(sweep, result)
    say(f"--- transfer to width {format_fraction(spec.width_mult)}: lr {spec.lr:g}, weight decay {spec.weight_decay:g}")
    _train_point(spec, nproc_per_node, say)
    return run_url(spec)


def _named(spec: TrainSpec, points: Sequence[TrainSpec]) -> str:
    """Learning rate and decay, and of the others what the points differ in."""
    more = [name for name in ("warmup_steps", *MORE_AXES) if len({getattr(point, name) for point in points}) > 1]
    shown = [f"{name.replace('_', ' ')} {getattr(spec, name):g}" for name in ("lr", "weight_decay", *more)]
    return ", ".join(shown)


def _is_of_point(error: DatascalerError, spec: TrainSpec) -> bool:
    """Whether the next point may well succeed."""
    if error.exit_code == BadInputError.exit_code or folder_fault(spec):
        return True
    return isinstance(error, DamagedError) and run_url(spec) in str(error)


def _train_point(spec: TrainSpec, nproc_per_node: int, say: Callable[[str], None]) -> None:
    launch = take_place(nproc_per_node)
    if launch.kind == "rank":
        raise ConfigError(
            f"this is {launch.summary}, but a sweep starts the processes of its runs itself: start one process a node"
        )
    if needs_torchrun(launch, nproc_per_node):
        with _stdout_is_stderr():
            train_under_torchrun(spec, ["train", *spec.arguments()], nproc_per_node, name=spec.folder)
    else:
        train_clip(spec, "datascaler sweep", say)


@contextmanager
def _stdout_is_stderr() -> Iterator[None]:
    """Processes started inside print each point's own result, which is not the sweep's."""
    stdout = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)
