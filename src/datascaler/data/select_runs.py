"""Which runs below a folder are meant, by what their run.json says."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from datascaler import storage
from datascaler.data.run_folder import RunSummary, find_runs, finished, read_run
from datascaler.errors import ConfigError
from datascaler.spec.train import TrainSpec


@dataclass(frozen=True, slots=True)
class FoundRun:
    url: str
    spec: TrainSpec
    summary: RunSummary | None
    """None for a run that is not complete."""

    @property
    def train_loss(self) -> float | None:
        return self.summary.train_loss if self.summary else None


def select_runs(train_dir: str, wanted: Mapping[str, object]) -> list[FoundRun]:
    """Runs at or below `train_dir` whose spec has all the wanted values (None = any), best train loss first.

    Raises ConfigError, listing what exists, if there is none; runs that have no checkpoint yet do not count.
    """
    found = [_read(url) for url in find_runs(train_dir)]
    if not found:
        raise ConfigError(f"no runs (run.json) in {train_dir}")
    given = {name: value for name, value in wanted.items() if value is not None}
    fitting = [run for run in found if all(_same(getattr(run.spec, name), value) for name, value in given.items())]
    fitting = [run for run in fitting if _has_checkpoint(run.url)]
    if not fitting:
        asked = " with " + ", ".join(f"{name} {value}" for name, value in given.items()) if given else ""
        there = "\n  ".join(storage.relative_to(run.url, train_dir) for run in found)
        raise ConfigError(f"no run{asked} has a checkpoint in {train_dir}; there are:\n  {there}")
    return sorted(fitting, key=lambda run: (run.train_loss is None, run.train_loss))


def _read(url: str) -> FoundRun:
    return FoundRun(url, read_run(url), finished(url))


def _has_checkpoint(run_url: str) -> bool:
    """The list of them may be lost where they are not."""
    folder = storage.join(run_url, "checkpoints")
    return storage.exists(storage.join(folder, "latest.json")) or bool(storage.list_files(folder, ".pt"))


def _same(value: object, wanted: object) -> bool:
    if isinstance(value, Fraction):
        return value == wanted
    return str(value).lower() == str(wanted).lower()
