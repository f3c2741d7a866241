"""Score tables: one parquet file a shard, one row a sample in tar order, and a footer that says what it was made from.

A table is its own "done" marker: it is published whole, and a rerun skips a shard whose footer matches.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any, Protocol

import pyarrow as pa

from datascaler import __version__, storage
from datascaler.data.pool.parquet import encode_parquet, read_parquet, read_parquet_end, read_parquet_schema
from datascaler.data.pool.samples import OK, Sample
from datascaler.data.pool.shards import Shard, is_version
from datascaler.errors import BadInputError, ConfigError, StorageError

SCORES = "scores"
"""The folder, in an output folder, of the tables of every score-id."""
SCHEMA_VERSION = 1
_ONLY_RECORDED = (
    "model",
    "unfinished",
    "precision",
    "code_version",
    "rows",
    "ok",
    "bad",
    "made_uids",
    "seconds",
    "finished",
)
"""The same weights may be reached by several names."""
_OF_THE_SHARD = ("size", "etag", "digest")
_FOOTER = b"datascaler"
_MADE_UIDS = b"datascaler.made_uids"
_DIGEST = b"datascaler.digest"
"""The footer's fields of these names, where columns are not yet a table."""
ROW_SCHEMA = pa.schema(
    [
        ("uid_high", pa.uint64()),
        ("uid_low", pa.uint64()),
        ("key", pa.string()),
        ("offset", pa.uint64()),
        ("length", pa.uint64()),
        ("status", pa.string()),
    ]
)
_TYPES = {**{each.name: each.type for each in ROW_SCHEMA}, "score": pa.float32()}
_ENCODINGS = {"key": "DELTA_BYTE_ARRAY", "offset": "DELTA_BINARY_PACKED"}
"""Keys and offsets hardly differ from the row before. Only a status repeats, so only that gets a dictionary."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Footer:
    """What a table was made from. Tables agree when source, weights, preprocessing and schema do."""

    shard: str
    size: int
    etag: str
    digest: str = ""
    """The digest of the shard's content, where the etag is a store's. It is left out where nobody knows it."""
    score_id: str
    """Empty in an index, which has no score column."""
    method: str = ""
    model: str = ""
    weights_hash: str = ""
    preprocess_hash: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    """All else that changes the scores: a temperature, a seed, a detector. Plain JSON: lists, not tuples."""
    unfinished: str = ""
    """How much the run of the weights had seen, where it had not ended. Not written where it had."""
    precision: str = ""
    """What the network computed in, as `float32` or `bfloat16`."""
    schema_version: int = SCHEMA_VERSION
    code_version: str = __version__
    rows: int = 0
    ok: int = 0
    bad: dict[str, int] = field(default_factory=dict)
    """Rows by status, `ok` left out."""
    made_uids: dict[str, int] = field(default_factory=dict)
    """Rows whose json has no uid, by the rule that theirs was made by. Not written where there are none."""
    seconds: float = 0.0
    """That the shard took; shards that overlap share their time."""
    finished: str = ""
    """When, in UTC, as ISO 8601 has it."""

    def after(self, seconds: float) -> "Footer":
        """The footer of a table that is done now."""
        return replace(self, seconds=round(seconds, 3), finished=datetime.now(UTC).isoformat(timespec="seconds"))

    @property
    def source(self) -> Shard:
        """The shard as it was, without its URL."""
        return Shard("", self.shard, self.size, self.etag, self.digest)

    def difference(self, other: "Footer", shard_url: str = "") -> str:
        """The first field that keeps two tables from being the same work, as text; empty if none does.

        The shard of the other one may be a copy of this one's; where only its content can say, it is read at the URL.
        """
        now = replace(other.source, url=shard_url)
        is_same = self.source == other.source or is_version(now, self.size, self.etag, self.digest)
        for each in fields(self):
            if each.name in _ONLY_RECORDED or (is_same and each.name in _OF_THE_SHARD):
                continue
            mine, theirs = getattr(self, each.name), getattr(other, each.name)
            if each.name == "settings":
                difference = _settings_difference(mine, theirs)
                if difference:
                    return difference
            elif mine != theirs:
                return f"{each.name} is {mine!r}, not {theirs!r}"
        return ""


def _settings_difference(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    for name in sorted(mine.keys() | theirs.keys()):
        if mine.get(name) != theirs.get(name):
            return f"{name} is {mine.get(name)!r}, not {theirs.get(name)!r}"
    return ""


class TableCounts(Protocol):
    """Totals over tables."""

    shards: int
    rows: int
    ok: int
    bad: dict[str, int]
    bad_examples: dict[str, str]


def count_table(totals: TableCounts, footer: Footer) -> None:
    totals.shards += 1
    totals.rows += footer.rows
    totals.ok += footer.ok
    for status, count in footer.bad.items():
        totals.bad[status] = totals.bad.get(status, 0) + count
        totals.bad_examples.setdefault(status, footer.shard)


def name_bad_rows(totals: TableCounts, tables: str) -> None:
    """Add to the shard of each status the key of its first row there, so that people can look at it."""
    for status, shard in totals.bad_examples.items():
        # One that can't be read now is told of by whoever needs it.
        with suppress(ConfigError, StorageError):
            table = read_table(storage.join(tables, table_name(shard)), ["key", "status"])[0]
            keys = (key for key, found in zip(*table.to_pydict().values(), strict=True) if found == status)
            totals.bad_examples[status] = f"{shard}, sample {next(keys, '')}"


def require_usable(totals: TableCounts, what: str, *, may_be_empty: bool) -> None:
    """Raise BadInputError, with the totals as `finished`, where not one row is ok: nothing can be made of that."""
    if totals.ok or (may_be_empty and not totals.rows):
        return
    reasons = ", ".join(f"{status}: {rows:,}" for status, rows in totals.bad.items()) or "no shard has a sample"
    raise BadInputError(f"0 of {totals.rows:,} rows {what} ({reasons}); `datascaler pool check` names examples").after(
        totals
    )


def footer_of(shard: Shard, score_id: str, **work: Any) -> Footer:
    """The footer of a table not yet written; `work` holds the remaining fields."""
    return Footer(shard=shard.name, size=shard.size, etag=shard.etag, digest=shard.digest, score_id=score_id, **work)


def index_footer(shard: Shard) -> Footer:
    return footer_of(shard, "")


def tables_folder(output_dir: str, score_id: str) -> str:
    """The folder of the tables of a score-id."""
    return storage.join(output_dir, SCORES, score_id)


def score_folders(output_dir: str) -> list[str]:
    """The folders of all score-ids of an output folder."""
    return storage.list_folders(storage.join(output_dir, SCORES))


def table_url(folder: str, shard: Shard) -> str:
    return storage.join(folder, table_name(shard.name))


def table_name(shard: str) -> str:
    """The table of the shard of that name, below the folder of its tables."""
    return shard.removesuffix(".tar").removesuffix(".parquet") + ".parquet"


def vectors_url(table: str) -> str:
    """The URL of the .npz that lies beside a table, or beside a file of DataComp's metadata."""
    return table.removesuffix(".parquet") + ".npz"


def rows_table(samples: Sequence[Sample], scores: Sequence[float] | None = None) -> pa.Table:
    """The columns of rows in tar order, for `publish_table`. `scores` is NaN where status is not ok."""
    columns = {
        "uid_high": [sample.uid[0] for sample in samples],
        "uid_low": [sample.uid[1] for sample in samples],
        "key": [sample.key.encode("utf-8", "replace").decode() for sample in samples],
        "offset": [sample.offset for sample in samples],
        "length": [sample.length for sample in samples],
        "status": [sample.status for sample in samples],
    }
    table = pa.table(columns, schema=ROW_SCHEMA)
    made = Counter(sample.uid_rule for sample in samples if sample.uid_rule)
    if made:
        table = table.replace_schema_metadata({_MADE_UIDS: json.dumps(made, sort_keys=True).encode()})
    return table if scores is None else table.append_column("score", pa.array(scores, pa.float32()))


def with_digest(table: pa.Table, digest: str) -> pa.Table:
    """The columns, whose table will say that the shard has this content."""
    return table.replace_schema_metadata({**(table.schema.metadata or {}), _DIGEST: digest}) if digest else table


def write_table(url: str, footer: Footer, samples: Sequence[Sample], scores: Sequence[float] | None = None) -> Footer:
    """`rows_table`, published."""
    return publish_table(url, footer, rows_table(samples, scores))


def publish_table(url: str, footer: Footer, table: pa.Table, *, overwrite: bool = False) -> Footer:
    """Publish a table with the columns of `rows_table` and any of its method's own; its footer, with the counts.

    Where another worker has published the same work meanwhile, its table stays and its footer is returned.

    Raises ConfigError where other work has taken the name; `overwrite` replaces whatever is there.
    """
    statuses = table["status"].value_counts().to_pylist()
    rows = {each["values"]: each["counts"] for each in statuses}
    counted = {each.name: getattr(footer, each.name) for each in fields(footer)}
    counted |= {"rows": table.num_rows, "ok": rows.pop(OK, 0), "bad": rows}
    del counted["made_uids"]
    if not footer.unfinished:
        del counted["unfinished"]
    metadata = table.schema.metadata or {}
    counted["digest"] = metadata.get(_DIGEST, b"").decode() or footer.digest
    if counted["digest"] in ("", footer.etag):
        del counted["digest"]
    if made := metadata.get(_MADE_UIDS):
        counted["made_uids"] = json.loads(made)
    table = table.replace_schema_metadata({_FOOTER: json.dumps(storage.signed(counted)).encode()})
    content = encode_parquet(table, compression="zstd", use_dictionary=["status"], column_encoding=_ENCODINGS)
    if overwrite:
        storage.publish_bytes(url, content)
    elif not storage.publish_if_absent(url, content):
        is_done(url, footer, overwrite=False)
        return read_footer(url)
    return Footer(**counted)


def read_footer(url: str) -> Footer:
    return _footer(read_parquet_schema(url), url)


def read_listed_footer(info: storage.FileInfo) -> Footer:
    """The same with one small request, as a listing told the table's size."""
    return _footer(read_parquet_end(info.url, info.size), info.url)


def read_table(url: str, columns: Sequence[str], dictionaries: Sequence[str] = ()) -> tuple[pa.Table, Footer]:
    table = read_parquet(url, columns, dictionaries)
    for field_ in table.schema:
        expected = _TYPES.get(field_.name)
        found = field_.type.value_type if pa.types.is_dictionary(field_.type) else field_.type
        if expected not in (None, found):
            raise ConfigError(f"{url} is not a score table of this version ({field_.name} is {found}, not {expected})")
    return table, _footer(table.schema, url)


def is_done(url: str, footer: Footer, *, overwrite: bool) -> bool:
    """Whether this shard needs no work. A table made from something else is an error unless it may be overwritten."""
    if overwrite or not storage.exists(url):
        return False
    _require_same_work(url, read_footer(url), footer)
    return True


def finished_footer(url: str, footer: Footer, shard: Shard, *, overwrite: bool) -> Footer | None:
    """The footer of the table of a shard that needs no work, as `is_done` has it; else None.

    Raises BadInputError for a table that can't be read: those of the other shards may be sound.
    """
    if overwrite or not storage.exists(url):
        return None
    try:
        found = read_footer(url)
    except ConfigError as error:
        raise BadInputError(f"{error}; remove the file, and run the same command again") from error
    _require_same_work(url, found, footer, shard.url)
    return found


def _require_same_work(url: str, found: Footer, wanted: Footer, shard_url: str = "") -> None:
    difference = found.difference(wanted, shard_url)
    if difference:
        raise ConfigError(f"{url} holds other work: {difference}; use another --output-dir, or --overwrite")


def _footer(schema: pa.Schema, url: str) -> Footer:
    try:
        return Footer(**storage.checked(json.loads((schema.metadata or {})[_FOOTER]), url))
    except (KeyError, RecursionError, TypeError, ValueError) as error:
        raise ConfigError(f"{url} is not a score table of this version ({error})") from error
