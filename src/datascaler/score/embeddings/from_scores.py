"""Embeddings that `datascaler score --save-embeddings` left beside its tables."""

from functools import partial

import pyarrow as pa

from datascaler import storage
from datascaler.data.pool.shard_list import frozen_shards, read_frozen_shards
from datascaler.data.pool.shards import Shard, is_version
from datascaler.data.tables.score_table import (
    Footer,
    read_footer,
    read_table,
    table_url,
    tables_folder,
    vectors_url,
    with_digest,
)
from datascaler.errors import BadInputError, ConfigError
from datascaler.score.embeddings.source import IDENTITY, EmbeddingSource, versions
from datascaler.tools.ordered_map import read_in_order

_READERS = 16
_TOLERANCE = 0.02
"""The error of a cosine in bfloat16, of vectors that are kept in float16."""


def source_of_scores(output_dir: str, data_dir: str, score_id: str) -> EmbeddingSource:
    """The embeddings of a finished scoring. An empty `data_dir` is the pool that the output folder is about.

    Raises ConfigError while shards lack a table or embeddings.
    """
    shards = frozen_shards(output_dir, data_dir) if data_dir else read_frozen_shards(output_dir)
    folder = tables_folder(output_dir, score_id)
    vectors = _found_vectors(folder, score_id, shards)
    first = _first_footer(folder, shards)
    return EmbeddingSource(
        name=score_id,
        model=first.model,
        weights_hash=first.weights_hash,
        preprocess_hash=first.preprocess_hash,
        unfinished=first.unfinished,
        shards=shards,
        vectors=vectors,
        image_array="img",
        text_array="txt",
        read_rows=partial(_read_rows, folder, first.weights_hash),
        npz_url=partial(_npz_url, folder),
        cosine_tolerance=_TOLERANCE,
        read_counts=lambda: list(
            read_in_order(lambda shard: read_footer(table_url(folder, shard)).rows, shards, _READERS)
        ),
    )


def _first_footer(folder: str, shards: list[Shard]) -> Footer:
    """The footer of the first table that can be read; a damaged one fails when its own shard is scored."""
    errors = []
    for shard in shards:
        try:
            return read_footer(table_url(folder, shard))
        except ConfigError as error:
            errors.append(error)
    raise errors[0]


def _npz_url(folder: str, shard: Shard) -> str:
    return vectors_url(table_url(folder, shard))


def _found_vectors(folder: str, score_id: str, shards: list[Shard]) -> dict[str, str]:
    """Size and etag of the embeddings of each shard.

    Two listings, before any work: a table without its embeddings would only be met hours later.
    """
    tables = {info.url for info in storage.list_files(folder, ".parquet", recursive=True)}
    arrays = versions(storage.list_files(folder, ".npz", recursive=True))
    untold = [shard for shard in shards if table_url(folder, shard) not in tables]
    if untold:
        raise ConfigError(
            f"{len(untold)} of {len(shards)} shards have no table in {folder} (first: {untold[0].name}): "
            "finish `datascaler score --save-embeddings` first"
        )
    without = [shard for shard in shards if _npz_url(folder, shard) not in arrays]
    if without:
        raise ConfigError(
            f"{len(without)} of {len(shards)} shards of {score_id} have no embeddings (first: "
            f"{_npz_url(folder, without[0])}): run its `datascaler score` command again with --save-embeddings"
        )
    return {shard.name: arrays[_npz_url(folder, shard)] for shard in shards}


def _read_rows(folder: str, weights_hash: str, shard: Shard) -> pa.Table:
    url = table_url(folder, shard)
    try:
        table, footer = read_table(url, [*IDENTITY, "score"])
    except ConfigError as error:
        raise BadInputError(f"{error}; remove it, and score the shard again") from error
    if footer.shard != shard.name or not is_version(shard, footer.size, footer.etag, footer.digest):
        raise BadInputError(f"{url} is of another {shard.name} than shards.parquet lists: score it again, --overwrite")
    if footer.weights_hash != weights_hash:
        raise BadInputError(f"{url} was made by other weights than the first table: score it again with --overwrite")
    return with_digest(table, footer.digest)
