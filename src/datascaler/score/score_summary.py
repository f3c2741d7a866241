"""What a scoring worker says when it is done."""

from collections.abc import Sequence
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
    bad_examples: dict[str, str] = field(default_factory=dict)
    """The shard and the key of a row of each of these statuses."""
    unreadable: list[str] = field(default_factory=list)
    """Shards that are gone, damaged, or have a damaged table, each with the reason."""
    seconds: float = 0.0
    """Time since the first shard was begun: the model was loaded before."""
    samples_per_second: float = 0.0
    """The rate of the samples that this call scored."""

    def took(self, seconds: float, samples: int) -> None:
        """Record how long `samples` samples took."""
        self.seconds = round(seconds, 3)
        self.samples_per_second = round(samples / seconds, 1) if seconds else 0.0


def merged_summaries(parts: Sequence[ScoreSummary]) -> ScoreSummary:
    """The sums over several parts of one piece of work."""
    total = ScoreSummary(parts[0].score_id, parts[0].tables)
    for part in parts:
        for name in ("shards", "skipped", "rows", "ok", "unreadable"):
            setattr(total, name, getattr(total, name) + getattr(part, name))
        for status, count in part.bad.items():
            total.bad[status] = total.bad.get(status, 0) + count
        total.bad_examples = part.bad_examples | total.bad_examples
    # They ran side by side.
    total.seconds = max(part.seconds for part in parts)
    total.samples_per_second = round(sum(part.samples_per_second for part in parts), 1)
    return total
