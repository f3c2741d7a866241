"""`metrics.jsonl`: one line every few steps, published whole since object stores cannot append."""

import json
import time

from datascaler import storage
from datascaler.errors import NotFoundError

_PUBLISH_SECONDS = 30.0


class MetricsLog:
    """Rows of a run, up to the samples that a resumed run starts from."""

    def __init__(self, run_url: str, samples_seen: int) -> None:
        self._url = storage.join(run_url, "metrics.jsonl")
        try:
            rows = [json.loads(line) for line in storage.read_text(self._url).splitlines()]
        except NotFoundError:
            rows = []
        # A run that was killed has logged steps that its newest checkpoint does not know.
        self._rows = [row for row in rows if row["samples_seen"] <= samples_seen]
        self._published = time.monotonic()

    def add(self, row: dict[str, float]) -> None:
        self._rows.append(row)
        if time.monotonic() - self._published > _PUBLISH_SECONDS:
            self.publish()

    def publish(self) -> None:
        storage.publish_text(self._url, "".join(json.dumps(row) + "\n" for row in self._rows))
        self._published = time.monotonic()

    def final_loss(self, share: float = 0.05) -> float:
        """Mean loss over the last `share` of the samples seen: a single step's is noise."""
        last = self._rows[-1]["samples_seen"]
        losses: list[float] = [row["loss"] for row in self._rows if row["samples_seen"] > last * (1 - share)]
        return sum(losses) / len(losses)
