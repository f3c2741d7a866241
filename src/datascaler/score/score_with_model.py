"""Scoring a pool by a model that sees its images: freeze the shard list, then publish one table a shard.

Reading, decoding, the network and publishing overlap, also from one shard to the next: a thread reads ahead, workers
decode, this thread feeds the network, another one writes.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field

import pyarrow as pa

from datascaler.data.pool.shards import Shard
from datascaler.data.tables.score_table import Footer, count_table, finished_footer, table_url, tables_folder
from datascaler.progress import progress
from datascaler.score.pipeline.decoders import Decoders, decoders, result_of
from datascaler.score.pipeline.feed import Done, End, Gone, SampleBatch, feed
from datascaler.score.pipeline.prepare_samples import preparation_for
from datascaler.score.pipeline.publisher import FinishedShard, Publisher, has_vectors
from datascaler.score.pipeline.score_batches import ScoredBatch, StartedBatch, finish_batch, start_batch
from datascaler.score.score_summary import ScoreSummary
from datascaler.score.scorer import Work, load_work
from datascaler.score.worker_shards import finish_summary, my_shards
from datascaler.spec.score import ScoreSpec
from datascaler.tools.prefetch import run_ahead

_BATCHES_AHEAD = 2
_NO_COLUMNS = pa.schema([])


def score_with_model(spec: ScoreSpec, say: Callable[[str], None] = lambda _: None) -> ScoreSummary:
    """Score this worker's shards. Finished ones are skipped, so the same command, run again, goes on.

    Raises BadInputError, after all other shards are done, if some are gone since the list was frozen or have a damaged
    table, with the summary as `finished`; StorageError at once where the store fails, since the others would fail too.
    """
    # The model first: where it can't be had, nothing is left that ties the folder to this pool.
    work = load_work(spec)
    mine = my_shards(spec)
    run = _Run(spec, work, ScoreSummary(work.score_id, tables_folder(spec.output_dir, work.score_id)))
    device = work.clip.device.type if work.clip else "cpu"
    built = f", built as {work.clip.config}" if work.clip and work.clip.config != work.clip.arch else ""
    say(f"scoring {len(mine):,} shards as {work.score_id} on {device}{built}")
    with (
        progress(0, "score") as bar,
        Publisher(lambda footer: count_table(run.summary, footer)) as publisher,
        decoders(preparation_for(work.clip, work.edit), spec.num_workers, in_processes=device != "cpu") as workers,
        closing(run_ahead(feed(mine, run.done, spec.batch_size, workers, work.edit), _BATCHES_AHEAD)) as events,
    ):
        for batch in run.scored(events, workers, publisher):
            bar.update(len(batch.samples))
            # The pool's size is known only at its end: extrapolate from the shards so far.
            bar.total = round(bar.n / (run.shards_scored + 0.5) * (len(mine) - run.summary.skipped))
    run.summary.took(run.seconds, run.rows)
    finish_summary(run.summary, len(mine))
    return run.summary


@dataclass(slots=True)
class _Run:
    """The state of a run, in the network's thread."""

    spec: ScoreSpec
    work: Work
    summary: ScoreSummary
    rows: int = 0
    shards_scored: int = 0
    _began: float = field(default_factory=time.monotonic)
    _shard_began: float = field(default_factory=time.monotonic)
    _batches: list[ScoredBatch] = field(default_factory=list)
    """The finished batches of the shard in hand."""

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def done(self, shard: Shard) -> Footer | None:
        """The footer of a shard that needs no work."""
        url = table_url(self.summary.tables, shard)
        found = finished_footer(url, self.work.footer(shard), shard, overwrite=self.spec.overwrite)
        return None if self.spec.save_embeddings and not has_vectors(url) else found

    def scored(
        self, events: Iterable[Done | Gone | SampleBatch | End], workers: Decoders, publisher: Publisher
    ) -> Iterable[ScoredBatch]:
        """The batches, as they are finished; shards are handed to the publisher."""
        started: deque[StartedBatch] = deque()
        for event in events:
            if isinstance(event, SampleBatch):
                parts = [result_of(part) for part in event.parts]
                with workers.while_paused():
                    started.append(start_batch(self.work.clip, parts, keep_vectors=self.spec.save_embeddings))
            # While the network works on a batch, the results of the one before are taken.
            while len(started) > isinstance(event, SampleBatch):
                batch = finish_batch(started.popleft())
                self._batches.append(batch)
                self.rows += len(batch.samples)
                yield batch
            if isinstance(event, Done):
                self.summary.skipped += 1
                count_table(self.summary, event.footer)
            elif isinstance(event, Gone):
                self.summary.unreadable.append(f"{event.shard.url}: {event.error}")
                self._next_shard()
            elif isinstance(event, End):
                publisher.submit(self._finished(event.shard))
                self.shards_scored += 1
                self._next_shard()

    def _finished(self, shard: Shard) -> FinishedShard:
        return FinishedShard(
            url=table_url(self.summary.tables, shard),
            footer=self.work.footer(shard).after(time.monotonic() - self._shard_began),
            batches=self._batches,
            columns=self.work.edit.columns if self.work.edit else _NO_COLUMNS,
            width=self.work.clip.width if self.work.clip and self.spec.save_embeddings else None,
            overwrite=self.spec.overwrite,
        )

    def _next_shard(self) -> None:
        self._batches = []
        self._shard_began = time.monotonic()
