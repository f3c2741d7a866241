"""Embeddings that DataComp ships: an .npz beside each parquet file of its metadata, row for row."""

from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq

from datascaler import storage
from datascaler.data.pool.parquet import cast_column
from datascaler.data.pool.shard_list import frozen_shards, verified_shards
from datascaler.data.pool.shards import Shard
from datascaler.data.tables.datacomp_metadata import find_metadata, read_metadata, usable_columns
from datascaler.data.tables.score_table import vectors_url
from datascaler.errors import BadInputError, ConfigError
from datascaler.score.embeddings.source import EmbeddingSource, versions
from datascaler.tools.ordered_map import read_in_order

_MODELS = {"l14": "ViT-L-14 openai", "b32": "ViT-B-32 openai"}
_READERS = 16
_FOOTER_BYTES = 1 << 20


def source_of_metadata(output_dir: str, folder: str, arch: str) -> EmbeddingSource:
    """The image and text embeddings of one of the two networks that DataComp embedded its pools with.

    Raises ConfigError while files lack their .npz.
    """
    # Before the list is frozen: a folder without embeddings leaves none.
    _found_npz(find_metadata(folder))
    shards = frozen_shards(output_dir, folder, find_metadata)
    verified_shards(output_dir, shards, folder, find_metadata)
    vectors = _found_npz(shards)
    return EmbeddingSource(
        name=f"datacomp-{arch}",
        model=_MODELS[arch],
        weights_hash="",
        preprocess_hash="",
        shards=shards,
        vectors=vectors,
        image_array=f"{arch}_img",
        text_array=f"{arch}_txt",
        read_rows=partial(_read_rows, f"clip_{arch}_similarity_score"),
        npz_url=_npz_url,
        read_counts=lambda: list(read_in_order(_count, shards, _READERS)),
    )


def _npz_url(shard: Shard) -> str:
    return vectors_url(shard.url)


def _found_npz(shards: list[Shard]) -> dict[str, str]:
    """Size and etag of the .npz of each shard."""
    folders = {storage.parent(shard.url) for shard in shards}
    there = versions(info for folder in folders for info in storage.list_files(folder, ".npz"))
    without = [shard for shard in shards if _npz_url(shard) not in there]
    if without:
        raise ConfigError(
            f"{len(without)} of {len(shards)} metadata files have no embeddings beside them (first: "
            f"{_npz_url(without[0])}): get them by DataComp's download_upstream.py --download_npz"
        )
    return {shard.name: there[_npz_url(shard)] for shard in shards}


def _read_rows(score_column: str, shard: Shard) -> pa.Table:
    table = read_metadata(shard, [score_column])
    with usable_columns():
        scores = cast_column(table, score_column, pa.float32(), shard.url).to_numpy()
    return table.drop_columns([score_column]).append_column("score", pa.array(scores))


def _count(shard: Shard) -> int:
    with storage.translated_errors(shard.url), storage.open_read(shard.url, block_bytes=_FOOTER_BYTES) as file:
        try:
            return int(pq.read_metadata(file).num_rows)
        except (pa.ArrowException, ValueError) as error:
            raise BadInputError(f"{shard.url} is not a readable parquet file ({error})") from error
