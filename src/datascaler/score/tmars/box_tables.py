"""What earlier runs left of a shard: the boxes of its text, and the scores of its pictures as they are."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from datascaler import storage
from datascaler.data.pool.samples import OK, Sample
from datascaler.data.pool.shards import Shard, is_version
from datascaler.data.pool.uids import join_uid
from datascaler.data.tables.score_table import Footer, read_footer, read_table, table_url
from datascaler.errors import BadInputError, ConfigError, NotFoundError

BOXES_COLUMN = "boxes"
DETECTOR_SETTING = "detector"


@dataclass(frozen=True, slots=True)
class RowNote:
    """What is on file of a row."""

    uid: tuple[int, int]
    boxes: Sequence[Sequence[float]] | None = None
    """None where the row has none on file: it was bad."""
    plain: float = math.nan
    """The score of the picture as it is; NaN where it has none."""

    def require_of(self, sample: Sample) -> None:
        """ConfigError where the note is of another sample."""
        if self.uid != sample.uid:
            raise ConfigError(
                f"row {sample.row} has the uid {join_uid(*sample.uid)}, and {join_uid(*self.uid)} in the tables that "
                "were given: they are of another pool"
            )


@dataclass(frozen=True, slots=True)
class NoteSource:
    """The tables below `boxes`, `plain` or both."""

    boxes: str | None
    """Folder of tables with boxes."""
    detector_id: str
    """The detector that found these boxes."""
    plain: str | None
    """Folder of tables of the same network's scores."""
    weights_hash: str
    preprocess_hash: str
    """The hash of that model's preprocessing."""

    def notes(self, shard: Shard) -> list[RowNote]:
        """One a row. ConfigError where a table is missing or of other work, BadInputError where it is damaged."""
        uids: list[tuple[int, int]] = []
        other_uids: list[tuple[int, int]] = []
        boxes: list[Sequence[Sequence[float]] | None] = []
        plain: list[float] = []
        if self.boxes is not None:
            uids, rows, footer = _read(self.boxes, shard, BOXES_COLUMN, "score it with --method boxes first")
            _require(self.boxes, "its detector", footer.settings.get(DETECTOR_SETTING), self.detector_id)
            boxes = [row if state == OK else None for row, state in rows]
        if self.plain is not None:
            other_uids, rows, footer = _read(self.plain, shard, "score", "score it with --method clip first")
            _require(self.plain, "its method", footer.method in ("clip", "dfn"), True)
            _require(self.plain, "its network's weights", footer.weights_hash, self.weights_hash)
            _require(self.plain, "its preprocessing", footer.preprocess_hash, self.preprocess_hash)
            plain = [value if state == OK else math.nan for value, state in rows]
        if self.boxes is None:
            uids = other_uids
        elif self.plain is not None and uids != other_uids:
            raise ConfigError(f"the rows of {shard.name} are not the same in {self.boxes} and {self.plain}")
        boxes, plain = boxes or [None] * len(uids), plain or [math.nan] * len(uids)
        return [RowNote(*each) for each in zip(uids, boxes, plain, strict=True)]


def detector_of_tables(folder: str) -> str:
    """The detector that found the boxes of these tables. ConfigError where the folder has none."""
    for info in storage.list_files(folder, ".parquet", recursive=True):
        detector = read_footer(info.url).settings.get(DETECTOR_SETTING)
        if isinstance(detector, str):
            return detector
        break
    raise ConfigError(f"{folder} holds no tables with boxes: make them with `datascaler score --method boxes`")


def _read(
    folder: str, shard: Shard, column: str, remedy: str
) -> tuple[list[tuple[int, int]], list[tuple[Any, str]], Footer]:
    """Uids; value and status of each row; and the footer."""
    url = table_url(folder, shard)
    try:
        table, footer = read_table(url, ["uid_high", "uid_low", "status", column])
    except NotFoundError as error:
        raise ConfigError(f"{url} is not there: {remedy}") from error
    except ConfigError as error:
        raise BadInputError(f"{error}; {remedy}") from error
    if not is_version(shard, footer.size, footer.etag, footer.digest):
        raise ConfigError(f"{url} is of another version of {shard.name}: score the shard again there")
    columns = [table[name].to_pylist() for name in ("uid_high", "uid_low", "status", column)]
    return list(zip(columns[0], columns[1], strict=True)), list(zip(columns[3], columns[2], strict=True)), footer


def _require(folder: str, what: str, found: object, expected: object) -> None:
    if found != expected:
        raise ConfigError(f"{folder} does not fit this run: {what}: {found!r}, not {expected!r}")
