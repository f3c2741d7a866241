"""A run's folder: `run.json` first, `summary.json` last, and `info.pkl` where DataComp's own evaluate can use it."""

from dataclasses import asdict, dataclass, fields
from typing import Any

from datascaler import __version__, storage
from datascaler.data.runs.datacomp_info import publish_datacomp_info
from datascaler.errors import ConfigError, DivergedError, GivenUpError
from datascaler.safe_text import shown
from datascaler.spec.train import RUNTIME_FIELDS, TrainSpec

_INPUTS = ("data_dir", "subset_file", "plan_file")
"""Where a run's data lies, which may be copied to another place: what it is, the digests of its inputs tell."""
_NOT_COMPARED = RUNTIME_FIELDS.union(_INPUTS, ["output_dir"])
_JSON_TYPES: dict[Any, Any] = {str: str, int: int, float: int | float}


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSummary:
    """What a finished run says of itself."""

    run: str
    checkpoint: str
    samples_seen: int
    steps: int
    substituted: int
    """Draws whose sample could not be read or decoded, so that another stood in."""
    train_loss: float
    """Mean over the last 5% of the samples."""
    seconds: float
    """Time since the last start; a resumed run counts only its own part."""


def run_url(spec: TrainSpec) -> str:
    return storage.join(spec.output_dir, spec.folder)


def start_run(spec: TrainSpec, inputs: dict[str, object], command: str, started_by: str = "") -> None:
    """Write run.json, or make sure that the one that is there describes the same run.

    command, started_by: the first start's; later ones may be of another kind.
    """
    url = storage.join(run_url(spec), "run.json")
    record = {
        "spec": spec.record(),
        "inputs": inputs,
        "tau": spec.tau,
        "code_version": __version__,
        "command": command,
        "started_by": started_by,
    }
    if not storage.exists(url):
        storage.publish_record(url, record)
        return
    before = storage.read_record(url)
    _require_same(spec, _spec_of(before, url).record(), spec.record())
    _require_same(spec, _inputs_of(before, url), inputs)


def read_inputs(url: str) -> tuple[TrainSpec, dict[str, object]]:
    """The spec of the run in a folder, and what it was made from."""
    record_url = storage.join(url, "run.json")
    record = storage.read_record(record_url)
    return _spec_of(record, record_url), _inputs_of(record, record_url)


def read_run(url: str) -> TrainSpec:
    """The spec of the run in a folder."""
    record_url = storage.join(url, "run.json")
    return _spec_of(storage.read_record(record_url), record_url)


def finished(url: str) -> RunSummary | None:
    summary = storage.join(url, "summary.json")
    if not storage.exists(summary):
        return None
    record = storage.read_record(summary)
    values: dict[str, Any] = {each.name: record.get(each.name) for each in fields(RunSummary)}
    wrong = [each.name for each in fields(RunSummary) if not isinstance(values[each.name], _JSON_TYPES[each.type])]
    if wrong:
        raise ConfigError(
            f"{summary} is not a summary of this version ({wrong[0]} is {shown(values[wrong[0]])}): remove it, and the "
            "same `datascaler train` command writes it anew"
        )
    return RunSummary(**values)


def finished_run(spec: TrainSpec, *, is_same_data: bool = False) -> RunSummary | None:
    """The summary of exactly this run, if it is complete. Raises ConfigError where another run has its folder.

    One that began with a pool or subset in other places is not taken for it, unless `is_same_data` says that somebody
    has compared what lies there, as training does before anything else.
    """
    summary = finished(run_url(spec))
    if summary is None:
        return None
    begun = read_run(run_url(spec))
    _require_same(spec, begun.record(), spec.record())
    is_known = is_same_data or all(getattr(begun, name) == getattr(spec, name) for name in _INPUTS)
    return summary if is_known else None


def record_divergence(spec: TrainSpec, step: int, message: str, *, given_up: bool = False) -> None:
    """Leave word that this run has no end, so that nobody trains it up to the same step again."""
    record = {"step": step, "message": message, "given_up": given_up}
    storage.publish_record(_divergence_url(run_url(spec)), record)


def why_ended_early(run: str) -> str:
    """What an earlier start found, as a sentence: a loss that is not finite, or above its limit. Else empty."""
    error = early_end(run)
    return f"it {error.happened} at {error}" if error else ""


def early_end(run: str) -> DivergedError | None:
    """The error with which an earlier start of the run in this folder ended, where starting again would meet it."""
    url = _divergence_url(run)
    if not storage.exists(url):
        return None
    record = storage.read_record(url)
    kind = GivenUpError if record.get("given_up") else DivergedError
    return kind(f"step {record.get('step')}: {record.get('message')} (remove {url} to try again)")


def outcome(spec: TrainSpec, *, is_same_data: bool = False) -> RunSummary | None:
    """The summary of a run that is complete, None for one to be trained. Raises DivergedError for one that diverged,
    or was given up.

    Of several budgets it is the longest one's, once all are complete. `is_same_data` is that of `finished_run`.
    """
    done = None
    for budget in spec.budgets:
        done = finished_run(budget, is_same_data=is_same_data)
        ended = None if done else early_end(run_url(budget))
        if ended:
            raise ended
        if done is None:
            return None
    return done


def folder_fault(spec: TrainSpec) -> str:
    """Why the folder of this run can't be used, where that lies in its own files: damaged ones, or another run's."""
    run = run_url(spec)
    try:
        if storage.exists(storage.join(run, "run.json")):
            _require_same(spec, read_run(run).record(), spec.record())
        outcome(spec)
    except (ConfigError, DivergedError) as error:
        return str(error)
    return ""


def find_runs(train_dir: str) -> list[str]:
    """The folders at or below `train_dir` that hold a run.json, by name."""
    found = storage.list_files(train_dir, "/run.json", recursive=True)
    return [storage.parent(info.url) for info in found]


def finish_run(spec: TrainSpec, summary: RunSummary) -> None:
    """Publish the summary, last: its existence says that the run is complete."""
    if no_datacomp_info(spec) is None:
        publish_datacomp_info(run_url(spec), spec, model=spec.model_arch, checkpoint=summary.checkpoint)
    storage.publish_record(storage.join(run_url(spec), "summary.json"), asdict(summary))


def _spec_of(record: dict[str, Any], url: str) -> TrainSpec:
    """What a record of an earlier version does not name yet was as the default is."""
    try:
        return TrainSpec.from_record(record["spec"])
    except (AttributeError, KeyError, TypeError, ValueError, ConfigError) as error:
        raise ConfigError(f"{url} is not a run of this version ({error})") from error


def _inputs_of(record: dict[str, Any], url: str) -> dict[str, object]:
    inputs = record.get("inputs")
    if not isinstance(inputs, dict):
        raise ConfigError(f"{url} is not a run of this version (it does not say what the run was made from)")
    return inputs


def _divergence_url(run: str) -> str:
    return storage.join(run, "diverged.json")


def _require_same(spec: TrainSpec, before: dict[str, object], now: dict[str, object]) -> None:
    for name, value in now.items():
        if name not in _NOT_COMPARED and before.get(name) != value:
            raise ConfigError(
                f"{run_url(spec)} holds another run: {name} was {shown(before.get(name))} and is now {value!r}; "
                "use another --output-dir, or the same flags to go on with it"
            )


def no_datacomp_info(spec: TrainSpec) -> str | None:
    """Why a run has no `info.pkl`, or None for one that has it.

    The file names an architecture that stock open_clip builds at its full width and with its own attention. For another
    model it would be a wrong name, under which the weights don't fit or, worse, fit and give other features.
    """
    if not storage.is_local(spec.output_dir):
        return "DataComp's evaluate.py opens local paths only"
    if spec.width_mult != 1:
        return f"{spec.model_arch} at width {spec.width_mult} is no model that open_clip has a name for"
    if spec.use_mup and spec.min_width_mult != 1:
        return f"a muP {spec.model_arch} of base width {spec.min_width_mult} gives other features in stock open_clip"
    return None
