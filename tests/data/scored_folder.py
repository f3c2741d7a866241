"""A small scored pool in an output folder, as `datascaler score` leaves it."""

from collections.abc import Callable
from dataclasses import replace

from datascaler import storage
from datascaler.data.pool.samples import OK, Sample
from datascaler.data.pool.shard_list import frozen_shards
from datascaler.data.pool.uids import split_uid
from datascaler.data.tables.score_table import index_footer, table_url, write_table
from tests.data.made_tables import uids_of

UIDS = sorted(uids_of(30))


def score_pool(
    folder: str,
    score_id: str = "clip-x-00000000",
    method: str = "clip",
    skip: str = "",
    score: Callable[[int], float] = lambda at: at / 30,
) -> str:
    """A pool of three shards whose samples score by their place among the sorted uids, and its output folder."""
    for name in "abc":
        storage.publish_bytes(f"{folder}/pool/{name}.tar", name.encode() * 512)
    out = f"{folder}/out"
    for number, shard in enumerate(frozen_shards(out, f"{folder}/pool")):
        if shard.name == skip:
            continue
        rows = range(number, 30, 3)
        samples = [
            Sample(row=row, key="", offset=row * 512, length=512, uid=split_uid(UIDS[at]), status=OK)
            for row, at in enumerate(rows)
        ]
        footer = replace(index_footer(shard), score_id=score_id, method=method, model="x", weights_hash="w")
        write_table(table_url(f"{out}/scores/{score_id}", shard), footer, samples, [score(at) for at in rows])
    return out
