"""Scoring from stored embeddings: what a method needs is read first, then its tables are made shard by shard."""

import json
import threading
from collections.abc import Callable
from contextlib import ExitStack
from hashlib import sha256
from math import isqrt
from typing import Any

import pyarrow as pa

from datascaler import storage
from datascaler.data.pool.shards import Shard, pool_digest
from datascaler.data.tables.score_table import Footer, footer_of
from datascaler.score.embeddings.centroids import default_sample, shared_centroids
from datascaler.score.embeddings.dedup import Deduplicated, DedupRule, deduplicate
from datascaler.score.embeddings.from_metadata import source_of_metadata
from datascaler.score.embeddings.from_scores import source_of_scores
from datascaler.score.embeddings.image_based import image_based
from datascaler.score.embeddings.negcliploss import neg_clip_loss
from datascaler.score.embeddings.normsim import norm_sim
from datascaler.score.embeddings.shard_tables import BlockScorer, Once, scored_table
from datascaler.score.embeddings.source import EmbeddingSource
from datascaler.score.embeddings.vector_files import VectorFile, read_vectors
from datascaler.score.score_id import settings_id
from datascaler.score.score_summary import ScoreSummary
from datascaler.score.worker_shards import score_shards
from datascaler.spec.score_embeddings import EmbeddingSpec


def score_embeddings(spec: EmbeddingSpec, say: Callable[[str], None] = lambda _: None) -> ScoreSummary:
    """Score this worker's shards by a method of `spec.score.EMBEDDING_METHODS`. Finished ones are skipped.

    Raises BadInputError, after all other shards are done, for shards whose embeddings are gone or don't fit their
    table; ConfigError while shards of the pool have no embeddings.
    """
    storage.check_writable(spec.output_dir)
    files = {name: read_vectors(url) for name, url in spec.files().items()}
    source = _open_source(spec)
    settings = _settings(spec, source, files)
    score_id = spec.score_name or f"{spec.method}-{settings_id({'method': spec.method, **settings})}"
    mine = source.shards[spec.index :: spec.count]
    say(f"scoring {len(mine):,} of {len(source.shards):,} shards as {score_id} from {source.name}")

    def footer(shard: Shard) -> Footer:
        return footer_of(
            shard,
            score_id,
            method=spec.method,
            model=source.model,
            weights_hash=source.weights_hash,
            preprocess_hash=source.preprocess_hash,
            unfinished=source.unfinished,
            settings={**settings, "vectors": source.vectors[shard.name]},
            precision="float32",
        )

    with ExitStack() as stack:
        if spec.method == "dedup":
            table_of = _deduplicated_tables(spec, source, settings, stack, say)
        else:
            table_of = _scored_tables(spec, source, files)
        return score_shards(spec, mine, score_id, footer, table_of)


def _open_source(spec: EmbeddingSpec) -> EmbeddingSource:
    if spec.from_metadata:
        return source_of_metadata(spec.output_dir, spec.from_metadata, spec.arch)
    assert spec.embeddings is not None
    return source_of_scores(spec.output_dir, spec.data_dir, spec.embeddings)


def _settings(spec: EmbeddingSpec, source: EmbeddingSource, files: dict[str, VectorFile]) -> dict[str, Any]:
    """All that changes the scores: numbers, files by their content, and the pool where rows of it are compared."""
    settings = {"embeddings": source.name, **spec.settings()}
    settings |= {name: file.sha256 for name, file in files.items()}
    if spec.method in ("negcliploss", "dedup"):
        # Its vectors too: every row is compared with others.
        pool = [pool_digest(source.shards), *source.vectors.values()]
        settings["pool"] = sha256(json.dumps(pool).encode()).hexdigest()[:16]
    if spec.method == "dedup":
        clusters = spec.clusters or max(1, isqrt(sum(source.read_counts())))
        settings |= {"clusters": clusters, "sample": spec.sample or default_sample(clusters)}
    return settings


def _scored_tables(
    spec: EmbeddingSpec, source: EmbeddingSource, files: dict[str, VectorFile]
) -> Callable[[Shard], pa.Table]:
    def make() -> BlockScorer:
        if spec.method == "negcliploss":
            return neg_clip_loss(source, spec.batch_rows, spec.rounds, spec.temperature, spec.seed)
        if spec.method == "normsim":
            return norm_sim(files["target"], spec.p)
        return image_based(files["target"], files["centroids"])

    scorer, lock = Once(make), threading.Lock()
    places = {shard.name: place for place, shard in enumerate(source.shards)}
    needs_text = spec.method == "negcliploss"
    return lambda shard: scored_table(source, places[shard.name], scorer.get(), lock, needs_text=needs_text)


def _deduplicated_tables(
    spec: EmbeddingSpec, source: EmbeddingSource, settings: dict[str, Any], stack: ExitStack, say: Callable[[str], None]
) -> Callable[[Shard], pa.Table]:
    """What lies on local disk meanwhile goes with the stack."""

    def make() -> Deduplicated:
        fit = {name: settings[name] for name in ("embeddings", "pool", "clusters", "sample", "seed")}
        name = f"{source.name}-{settings_id({'weights': source.weights_hash, **fit})}.npy"
        url = storage.join(spec.output_dir, "clusters", name)
        say(f"{settings['clusters']:,} clusters, fitted on {settings['sample']:,} rows at most: {url}")
        centroids = shared_centroids(source, url, settings["clusters"], settings["sample"], spec.seed)
        scratch = stack.enter_context(storage.scratch_folder())
        return deduplicate(source, centroids, DedupRule(spec.eps, spec.keep), scratch)

    result = Once(make)
    places = {shard.name: place for place, shard in enumerate(source.shards)}
    return lambda shard: result.get().table(places[shard.name], source.read_rows(shard))
