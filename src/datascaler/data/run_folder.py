"""A run's folder: `run.json` first, `summary.json` last, and DataComp's `info.pkl` for its own evaluate."""

import pickle
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from datascaler import __version__, storage
from datascaler.errors import ConfigError, DivergedError
from datascaler.spec.train import RUNTIME_FIELDS, TrainSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSummary:
    """What a finished run says of itself."""

    run: str
    checkpoint: str
    samples_seen: int
    steps: int
    substituted: int
    """Images that did not decode and were replaced."""
    train_loss: float
    """Mean over the last 5% of the samples."""
    seconds: float
    """Of the last start; a resumed run counts only its own part."""


def run_url(spec: TrainSpec) -> str:
    return storage.join(spec.output_dir, spec.folder)


def start_run(spec: TrainSpec, inputs: dict[str, object], command: str) -> None:
    """Write run.json, or make sure that the one that is there describes the same run."""
    url = storage.join(run_url(spec), "run.json")
    record = {"spec": spec.record(), "inputs": inputs, "code_version": __version__, "command": command}
    if not storage.exists(url):
        storage.publish_json(url, record)
        return
    before = storage.read_json(url)
    _require_same(spec, _spec_of(before, url).record(), spec.record())
    _require_same(spec, before["inputs"], inputs)


def read_run(url: str) -> TrainSpec:
    """The spec of the run in a folder."""
    record_url = storage.join(url, "run.json")
    return _spec_of(storage.read_json(record_url), record_url)


def finished(url: str) -> RunSummary | None:
    summary = storage.join(url, "summary.json")
    return RunSummary(**storage.read_json(summary)) if storage.exists(summary) else None


def finished_run(spec: TrainSpec) -> RunSummary | None:
    """The summary of exactly this run, if it is complete. Raises ConfigError where another run has its folder."""
    summary = finished(run_url(spec))
    if summary:
        _require_same(spec, read_run(run_url(spec)).record(), spec.record())
    return summary


def record_divergence(spec: TrainSpec, step: int, message: str) -> None:
    """Leave word that this run has no end, so that nobody trains it up to the same step again."""
    storage.publish_json(_divergence_url(spec), {"step": step, "message": message})


def divergence(spec: TrainSpec) -> str | None:
    """What an earlier start said when the loss was no longer finite."""
    url = _divergence_url(spec)
    if not storage.exists(url):
        return None
    record = storage.read_json(url)
    return f"step {record['step']}: {record['message']} (remove {url} to try again)"


def outcome(spec: TrainSpec) -> RunSummary | None:
    """The summary of a run that is complete, None for one to be trained. Raises DivergedError for one that diverged."""
    done = finished_run(spec)
    diverged = None if done else divergence(spec)
    if diverged:
        raise DivergedError(diverged)
    return done


def find_runs(train_dir: str) -> list[str]:
    """The folders at or below `train_dir` that hold a run.json, by name."""
    found = storage.list_files(train_dir, "/run.json", recursive=True)
    return [storage.parent(info.url) for info in found]


def finish_run(spec: TrainSpec, summary: RunSummary) -> None:
    """Publish the summary, last: its existence says that the run is complete."""
    _write_datacomp_info(spec, summary.checkpoint)
    storage.publish_json(storage.join(run_url(spec), "summary.json"), asdict(summary))


def _spec_of(record: dict[str, Any], url: str) -> TrainSpec:
    """What a record of an earlier version does not name yet was as the default is."""
    try:
        return TrainSpec.from_record(record["spec"])
    except (KeyError, TypeError) as error:
        raise ConfigError(f"{url} is not a run of this version ({error})") from error


def _divergence_url(spec: TrainSpec) -> str:
    return storage.join(run_url(spec), "diverged.json")


def _require_same(spec: TrainSpec, before: dict[str, object], now: dict[str, object]) -> None:
    for name, value in now.items():
        if name not in RUNTIME_FIELDS and before.get(name) != value:
            raise ConfigError(
                f"{run_url(spec)} holds another run: {name} was {before.get(name)!r} and is now {value!r}; "
                "use another --output-dir, or the same flags to go on with it"
            )


def _write_datacomp_info(spec: TrainSpec, checkpoint: str) -> None:
    """`info.pkl` as DataComp's evaluate.py reads it. It opens local paths only, so only local runs get one."""
    if not storage.is_local(checkpoint):
        return
    scale_config: dict[str, Any] = {
        "batch_size": spec.batch_size,
        "learning_rate": spec.lr,
        "train_num_samples": spec.train_num_samples,
        "warmup": spec.warmup_steps,
        "model": spec.model_arch,
        "beta2": spec.beta2,
    }
    info = {
        "scale": spec.scale,
        "checkpoint": Path(checkpoint),
        "scale_config": scale_config,
        "data_dir": Path(spec.data_dir),
    }
    storage.publish_bytes(storage.join(run_url(spec), "info.pkl"), pickle.dumps(info))
