"""DataComp's own CLIP scores, as its metadata ships them: score tables without touching an image."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from datascaler.data.pool.parquet import cast_column
from datascaler.data.pool.samples import NO_SCORE, OK
from datascaler.data.pool.shards import Shard
from datascaler.data.tables.metadata import read_metadata, usable_columns
from datascaler.score.captions.rows import with_status


def metadata_score_table(shard: Shard, arch: str) -> pa.Table:
    """The scores of OpenAI's ViT-B/32 (b32) or ViT-L/14 (l14); a row without a finite one has a status of its own."""
    name = f"clip_{arch}_similarity_score"
    table = read_metadata(shard, [name])
    with usable_columns():
        scores = pc.fill_null(cast_column(table, name, pa.float32(), shard.url), float("nan")).to_numpy()
    good = np.isfinite(scores)
    places = table.drop_columns([name])
    ok = pc.equal(places["status"], OK).to_numpy()
    places = with_status(places, NO_SCORE, ok & ~good)
    return places.append_column("score", pa.array(np.where(ok & good, scores, np.float32("nan")), pa.float32()))
