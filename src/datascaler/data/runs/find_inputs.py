"""What runs of any verb there are at or below some folders, by the names of files alone: one listing a folder."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from datascaler import storage
from datascaler.data.subset.subset import FORMATS
from datascaler.errors import ConfigError

_LINES = "/eval_results.jsonl"
_COORDINATES = "coord_check.json"
_RUN, _SHARDS = "/run.json", "/shards.parquet"
_SUBSETS = tuple(f".{name}" for name in FORMATS)


@dataclass(frozen=True, slots=True)
class Inputs:
    """URLs, each once."""

    runs: list[str] = field(default_factory=list)
    """Folders of training runs."""
    sweeps: list[str] = field(default_factory=list)
    """Rankings."""
    scored: list[str] = field(default_factory=list)
    """Output folders of scoring runs."""
    subsets: list[storage.FileInfo] = field(default_factory=list)
    """One file of each subset that has a recipe, the .npy where there is one."""
    results: list[str] = field(default_factory=list)
    """Folders of results."""
    unfinished_results: list[str] = field(default_factory=list)
    """Folders of results whose tasks are not all done."""
    forecasts: list[str] = field(default_factory=list)
    """What `datascaler forecast --json` printed."""
    coord_checks: list[str] = field(default_factory=list)
    """What `datascaler coord-check` left."""
    files: dict[str, storage.FileInfo] = field(default_factory=dict)
    """The .json and .jsonl files, by URL."""


def find_inputs(folders: Sequence[str]) -> Inputs:
    """Raises ConfigError for a folder in which there is nothing of any verb."""
    found = Inputs()
    for folder in folders:
        before = sum(map(len, _lists(found)))
        _add(found, folder)
        if sum(map(len, _lists(found))) == before:
            storage.require_bucket(folder)
            raise ConfigError(
                f"{folder} holds nothing to report on: no scores, subset, training run, sweep, results, "
                "coordinate check or forecast"
            )
    return found


def _add(found: Inputs, folder: str) -> None:
    if folder.endswith((".json", ".jsonl")):
        is_sweep = storage.basename(folder).startswith("sweep-")
        kind = found.results if folder.endswith(_LINES) else found.sweeps if is_sweep else found.forecasts
        kind = found.coord_checks if storage.basename(folder) == _COORDINATES else kind
        _append(kind, [folder.removesuffix(_LINES)])
        return
    infos = {info.url: info for info in storage.list_files(folder, (".json", ".jsonl", *_SUBSETS), recursive=True)}
    urls = list(infos)
    found.files.update({url: info for url, info in infos.items() if url.endswith((".json", ".jsonl"))})
    _append(found.runs, [url.removesuffix(_RUN) for url in urls if url.endswith(_RUN)])
    _append(found.scored, [url.removesuffix(_SHARDS) for url in urls if url.endswith(_SHARDS)])
    lines = [url.removesuffix(_LINES) for url in urls if url.endswith(_LINES)]
    _append(found.results, lines)
    for url in urls:
        name = storage.basename(url)
        if name.startswith("sweep-") and name.endswith(".json"):
            _append(found.sweeps, [url])
        elif name == _COORDINATES:
            _append(found.coord_checks, [url])
        elif name.endswith(".json") and "forecast" in name:
            _append(found.forecasts, [url])
        elif "/eval_results/" in url and (base := url.rpartition("/eval_results/")[0]) not in lines:
            _append(found.unfinished_results, [base])
    known = {info.url for info in found.subsets}
    for url in urls:
        base, _, suffix = url.rpartition(".")
        if suffix == "json" and (files := [infos[f"{base}{each}"] for each in _SUBSETS if f"{base}{each}" in infos]):
            found.subsets.extend(info for info in files[:1] if info.url not in known)


def _append(there: list[str], urls: Sequence[str]) -> None:
    there.extend(url for url in dict.fromkeys(urls) if url not in there)


def _lists(found: Inputs) -> list[Sequence[object]]:
    return [
        *(found.runs, found.sweeps, found.scored, found.subsets, found.results),
        *(found.unfinished_results, found.forecasts, found.coord_checks),
    ]
