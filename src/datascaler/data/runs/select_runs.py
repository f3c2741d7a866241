"""Which runs below a folder are meant, by what their run.json says."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction

from datascaler import storage
from datascaler.data.runs.datacomp_info import INFO
from datascaler.data.runs.run_folder import RunSummary, find_runs, finished, read_run, why_ended_early
from datascaler.errors import ConfigError, StorageError
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


def select_runs(train_dir: str, wanted: Mapping[str, object], failures: dict[str, str] | None = None) -> list[FoundRun]:
    """Runs at or below `train_dir` that have a checkpoint and all the wanted values (None = any), best loss first.

    failures: filled with the URL and the reason of each run that is meant, or may be, but can't be used: its files are
    damaged, it diverged, or it has no checkpoint yet.

    Raises ConfigError, listing what exists, if no run can be used.
    """
    failures = {} if failures is None else failures
    given = _given(wanted)
    urls = find_runs(train_dir)
    if not urls:
        if storage.exists(storage.join(train_dir, INFO)):
            raise ConfigError(f"{train_dir} is a run of DataComp's or an export: give it as --pretrained")
        raise ConfigError(f"no runs (run.json) in {train_dir}")
    usable = []
    for url in urls:
        try:
            spec = read_run(url)
            if not _fits(spec, given):
                continue
            run = FoundRun(url, spec, finished(url))
            failure = "" if run.summary else _why_unusable(url)
        except (ConfigError, StorageError) as error:
            failure = str(error)
        if failure:
            failures[url] = failure
        else:
            usable.append(run)
    if not usable:
        asked = " with " + ", ".join(f"{name} {value}" for name, value in given.items()) if given else ""
        there = [
            storage.relative_to(url, train_dir) + (f": {failures[url]}" if url in failures else "") for url in urls
        ]
        raise ConfigError(f"no run{asked} has a checkpoint in {train_dir}; there are:", *there)
    return sorted(usable, key=lambda run: (run.train_loss is None, run.train_loss))


def unfinished_runs(train_dir: str, wanted: Mapping[str, object]) -> list[FoundRun]:
    """Runs at or below `train_dir` that have all the wanted values and still train, or may: neither complete nor
    diverged. Those that can't be read are left to `select_runs`, which tells of them.
    """
    found = []
    for url in find_runs(train_dir):
        with suppress(ConfigError, StorageError):
            spec = read_run(url)
            if _fits(spec, _given(wanted)) and finished(url) is None and not why_ended_early(url):
                found.append(FoundRun(url, spec, None))
    return found


def _given(wanted: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in wanted.items() if value is not None}


def _fits(spec: TrainSpec, given: Mapping[str, object]) -> bool:
    return all(_same(getattr(spec, name), value) for name, value in given.items())


def _why_unusable(url: str) -> str:
    """Why a run that is not complete can't be evaluated; empty where it has a checkpoint that can."""
    if why := why_ended_early(url):
        return why
    return "" if _has_checkpoint(url) else "it is not complete, and has no checkpoint yet"


def _has_checkpoint(run_url: str) -> bool:
    """Whether a run has saved anything; its list of checkpoints may be lost where they are not."""
    folder = storage.join(run_url, "checkpoints")
    return storage.exists(storage.join(folder, "latest.json")) or bool(storage.list_files(folder, ".pt"))


def _same(value: object, wanted: object) -> bool:
    if isinstance(value, Fraction):
        return value == wanted
    return str(value).lower() == str(wanted).lower()
