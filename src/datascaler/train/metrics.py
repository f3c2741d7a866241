"""`metrics.jsonl`: one line every few steps, published whole since object stores cannot append."""

import json
import time
from collections.abc import Callable

from datascaler import storage
from datascaler.errors import ConfigError, NotFoundError

_PUBLISH_SECONDS = 30.0
_Row = dict[str, float]


class MetricsLog:
    """Rows of a run, up to the samples that a resumed run starts from."""

    def __init__(self, run_url: str, samples_seen: int, say: Callable[[str], None] = lambda _: None) -> None:
        """`say` is told of lines that can't be read, as a machine that crashed or a full disk may leave; they go."""
        self._url = storage.join(run_url, "metrics.jsonl")
        try:
            lines = storage.read_bytes(self._url).splitlines()
        except NotFoundError:
            lines = []
        rows = [row for line in lines if (row := _row(line))]
        if len(rows) < len(lines):
            say(f"damaged   {len(lines) - len(rows)} of {len(lines)} lines of {self._url} are not readable: left out")
        # A run that was killed has logged steps that its newest checkpoint does not know.
        self._rows = [row for row in rows if row["samples_seen"] <= samples_seen]
        self._published = time.monotonic()

    def add(self, row: _Row) -> None:
        self._rows.append(row)
        if time.monotonic() - self._published > _PUBLISH_SECONDS:
            self.publish()

    def publish(self) -> None:
        storage.publish_text(self._url, "".join(json.dumps(row) + "\n" for row in self._rows))
        self._published = time.monotonic()

    def final_loss(self, share: float = 0.05) -> float:
        """Mean loss over the last `share` of the samples seen: a single step's is noise."""
        if not self._rows:
            raise ConfigError(
                f"{self._url} has lost all losses of this run: remove the newest checkpoint to repeat the last steps"
            )
        last = self._rows[-1]["samples_seen"]
        losses: list[float] = [row["loss"] for row in self._rows if row["samples_seen"] > last * (1 - share)]
        return sum(losses) / len(losses)


def _row(line: bytes) -> _Row | None:
    """None for what is no row of ours."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    numbers = isinstance(row, dict) and all(isinstance(row.get(name), int | float) for name in ("samples_seen", "loss"))
    return row if numbers else None
