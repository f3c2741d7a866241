"""Scoring a pool by any method: the spec says which, and each family of methods has its own way through the shards."""

from collections.abc import Callable

from datascaler.data.tables.score_table import require_usable
from datascaler.errors import ConfigError
from datascaler.score.score_summary import ScoreSummary
from datascaler.spec.score import ScorePart, ScoreSpec
from datascaler.spec.score_captions import CaptionSpec
from datascaler.spec.score_embeddings import EmbeddingSpec


def score_pool(
    spec: ScorePart, say: Callable[[str], None] = lambda _: None, *, processes: int | None = 1
) -> ScoreSummary:
    """Score every sample of a pool: one parquet table a shard, published whole, below `<output_dir>/scores`.

    Finished shards are skipped, so the same call goes on after an interruption. A sample that can't be scored is a row
    with its reason. Workers of one pool take `index` of `count` in their specs and share nothing but the output folder.

    Args:
        spec: a ScoreSpec, whose methods run a model over the images; or a CaptionSpec or an EmbeddingSpec.
        say: gets lines for people.
        processes: of a ScoreSpec: processes that share the work, each with an accelerator of its own; None is one for
            each accelerator. They are spawned, so a script that asks for several guards its `__main__`.

    Returns counts over this worker's shards; `tables` is the folder of the tables, `score_id` its name.

    Raises ConfigError for a spec, model or file that can't be used; BadInputError, after all other shards are done,
    where some can't be read, and where no row has a score, with the counts as its `finished`; StorageError where the
    store fails.

    Example:
        >>> spec = ScoreSpec(data_dir="pool", output_dir="out", method="clip", model="local-dir:model")
        >>> summary = score_pool(spec)
        >>> summary.rows, summary.ok
        (24, 24)
    """
    summary = _score(spec, say, processes)
    # Downloads leave shards without a sample, which may be all that one of many workers has.
    require_usable(summary, "have a score", may_be_empty=spec.count > 1)
    return summary


def _score(spec: ScorePart, say: Callable[[str], None], processes: int | None) -> ScoreSummary:
    # Each family brings libraries that the others do without.
    if isinstance(spec, ScoreSpec):
        return _score_with_model(spec, say, processes)
    if processes not in (None, 1):
        raise ConfigError(f"processes {processes} has no meaning for method {spec.method}: it runs no model")
    if isinstance(spec, CaptionSpec):
        from datascaler.score.captions.score_captions import score_captions

        return score_captions(spec, say)
    if isinstance(spec, EmbeddingSpec):
        from datascaler.score.embeddings.score_embeddings import score_embeddings

        return score_embeddings(spec, say)
    raise ConfigError(f"{type(spec).__name__} is no spec of a scoring method: give a ScoreSpec")


def _score_with_model(spec: ScoreSpec, say: Callable[[str], None], processes: int | None) -> ScoreSummary:
    from datascaler.score.device_processes import accelerators, score_in_processes

    count = processes or accelerators()
    if count > 1:
        say(f"scoring in {count} processes, one for each accelerator")
        return score_in_processes(spec, count)

    from datascaler.score.score_with_model import score_with_model

    return score_with_model(spec, say)
