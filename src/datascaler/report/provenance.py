"""Where everything is from: what each file was made of, and the command lines that make it again."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from datascaler import storage
from datascaler.data.tables.score_table import read_footer, score_folders
from datascaler.errors import ConfigError, StorageError
from datascaler.report.blocks import Cell, Commands, PageBlock, Section, Table, words
from datascaler.report.evaluated_models import EvaluatedModel
from datascaler.report.pool import ReadSubset
from datascaler.report.training_runs import TrainRun

_SHOWN_HASH = 16


def provenance_section(
    scored: Sequence[str],
    subsets: Sequence[ReadSubset],
    runs: Sequence[TrainRun],
    models: Sequence[EvaluatedModel],
    files: Mapping[str, Sequence[str]],
    command: str,
) -> Section:
    """files: those that say all of something by themselves, by what they are."""
    rows = [_row("list of shards", each, {"file": _file_hash(f"{each}/shards.parquet")}, None) for each in scored]
    rows += [row for folder in scored for row in _of_scores(folder)]
    rows += [_row("subset", each.url, each.recipe, ("digest", "pool_digest", "score_id")) for each in subsets]
    rows += [_row("run", each.url, each.record.get("inputs"), None, each.record) for each in runs]
    for model in models:
        hashes = {
            "weights_hash": model.record.get("weights_hash"),
            "results": _file_hash(f"{model.url}/eval_results.jsonl"),
        }
        rows.append(_row("results", model.url, hashes, None))
    rows += _evaluation_sets(models)
    rows += [_row(what, url, {"file": _file_hash(url)}, None) for what, urls in files.items() for url in urls]
    columns = ["what", "where", "made from, by hash", "code version"]
    blocks: list[PageBlock] = [
        Table(name="inputs", title="Inputs", columns=columns, rows=rows, folded=len(rows) > 40),
    ]
    commands = [str(each.record["command"]) for each in runs if isinstance(each.record.get("command"), str)]
    title = "Commands of the training runs, and of this page"
    blocks.append(Commands(title=title, lines=[*dict.fromkeys(commands), command]))
    return Section(name="provenance", title="Where it is from", blocks=blocks)


def _of_scores(folder: str) -> list[list[Cell]]:
    """A row a score-id, by the footer of its first table."""
    found = []
    try:
        folders = score_folders(folder)
    except StorageError:
        return []
    for tables in folders:
        infos = storage.list_files(tables, ".parquet", recursive=True)
        try:
            footer = read_footer(infos[0].url)
        except (IndexError, ConfigError, StorageError):
            continue
        hashes = {
            "weights": footer.weights_hash,
            "preprocessing": footer.preprocess_hash,
            "precision": footer.precision,
        }
        found.append(_row("scores", tables, hashes | footer.settings, None, {"code_version": footer.code_version}))
    return found


def _evaluation_sets(models: Sequence[EvaluatedModel]) -> list[list[Cell]]:
    """A row a task with the content of its set; several where results are of different ones."""
    digests: dict[str, set[str]] = {}
    for model in models:
        by_task = model.record.get("by_task")
        for key, task in by_task.items() if isinstance(by_task, Mapping) else ():
            if isinstance(task, Mapping) and task.get("data"):
                digests.setdefault(str(key), set()).add(str(task["data"]))
    return [
        _row("evaluation set", key, {"content": digest}, None) for key, own in digests.items() for digest in sorted(own)
    ]


def _row(
    what: str, where: str, made_from: Any, names: Sequence[str] | None, record: Mapping[str, Any] | None = None
) -> list[Cell]:
    values = made_from if isinstance(made_from, Mapping) else {}
    picked = {name: values.get(name) for name in names} if names else values
    told = ", ".join(f"{name} {_short(value)}" for name, value in picked.items() if value not in (None, "", {}, []))
    version = (record or values).get("code_version", "-")
    return [words(what), words(where), words(told or "-"), words(str(version))]


def _short(value: Any) -> str:
    text = str(value)
    is_hash = len(text) > _SHOWN_HASH and set(text) <= set("0123456789abcdef")
    return text[:_SHOWN_HASH] if is_hash else text


def _file_hash(url: str) -> str:
    try:
        return f"sha256 {sha256(storage.read_bytes(url)).hexdigest()[:_SHOWN_HASH]}"
    except StorageError:
        return ""
