"""What a scoring worker says when it is done."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class ScoreSummary:
    """Counts over this worker's shards."""

    score_id: str
    tables: str
    """Folder of the score tables."""
    shards: int = 0
    skipped: int = 0
    """Shards whose table was there already; their rows are counted too."""
    rows: int = 0
    ok: int = 0
    bad: dict[str, int] = field(default_factory=dict)
    """Rows by status."""
    unreadable: list[str] = field(default_factory=list)
    """Shards that are gone."""
