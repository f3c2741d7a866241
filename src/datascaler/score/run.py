"""Scoring a pool: freeze the shard list, then one table a shard, each published whole."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

from datascaler.data.index import read_shard
from datascaler.data.pool import Shard
from datascaler.data.score_table import Footer, count_table, is_done, read_footer, table_url, write_table
from datascaler.errors import NotFoundError
from datascaler.models.load import load_clip
from datascaler.models.loaded import LoadedClip
from datascaler.progress import progress
from datascaler.score.part import my_shards, raise_for_unreadable, tables_folder
from datascaler.score.shard import score_samples
from datascaler.score.summary import ScoreSummary
from datascaler.spec.score import ScoreSpec


def score(spec: ScoreSpec, say: Callable[[str], None] = lambda _: None) -> ScoreSummary:
    """Score this worker's shards. Finished ones are skipped, so the same command, run again, goes on.

    Raises BadInputError, after all other shards are done, if some are gone since the list was frozen; StorageError at
    once where the store fails, since the others would fail too.
    """
    mine = my_shards(spec)
    clip = load_clip(spec.model, spec.pretrained)
    score_id = spec.score_name or score_id_of(spec.method, clip)
    summary = ScoreSummary(score_id, tables_folder(spec.output_dir, score_id))
    say(f"scoring {len(mine):,} shards as {score_id} on {clip.device.type}")
    with ThreadPoolExecutor(spec.num_workers) as executor, progress(0, "score") as bar:
        for number, shard in enumerate(mine):
            footer = _footer(shard, spec, clip, score_id)
            url = table_url(summary.tables, shard)
            if is_done(url, footer, overwrite=spec.overwrite):
                summary.skipped += 1
                count_table(summary, read_footer(url))
                continue
            try:
                batches = []
                for batch in score_samples(read_shard(shard), clip, spec.batch_size, executor):
                    batches.append(batch)
                    bar.update(len(batch[0]))
                    # The pool's size is known only at its end: extrapolate from the shards so far.
                    bar.total = round(bar.n / (number - summary.skipped + 0.5) * (len(mine) - summary.skipped))
            except NotFoundError as error:
                summary.unreadable.append(f"{shard.url}: {error}")
                continue
            samples = list(chain.from_iterable(rows for rows, _ in batches))
            scores = list(chain.from_iterable(values for _, values in batches))
            count_table(summary, write_table(url, footer, samples, scores))
    raise_for_unreadable(summary, len(mine))
    return summary


def score_id_of(method: str, clip: LoadedClip) -> str:
    """`method-arch-<8 hex of the weights hash>`, fit for a folder's name."""
    name = re.split("[/:]", clip.arch.rstrip("/"))[-1]
    arch = "".join(letter if letter.isalnum() or letter in "-." else "_" for letter in name)
    return f"{method}-{arch}-{clip.weights_hash[:8]}"


def _footer(shard: Shard, spec: ScoreSpec, clip: LoadedClip, score_id: str) -> Footer:
    return Footer(
        shard=shard.name,
        size=shard.size,
        etag=shard.etag,
        score_id=score_id,
        method=spec.method,
        model=clip.arch,
        weights_hash=clip.weights_hash,
        preprocess_hash=clip.preprocess_hash,
    )
