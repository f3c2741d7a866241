"""Score tables of pools that exist only as numbers."""

import random
from collections.abc import Sequence

from datascaler import storage
from datascaler.data.pool.samples import OK, Sample
from datascaler.data.pool.shards import Shard
from datascaler.data.pool.uids import split_uid
from datascaler.data.tables.score_table import Footer, table_url, write_table


def uids_of(count: int, seed: int = 0) -> list[str]:
    generator = random.Random(seed)
    return [f"{generator.getrandbits(128):032x}" for _ in range(count)]


def shard_named(name: str, size: int = 1 << 20) -> Shard:
    return Shard(url=f"nowhere/{name}.tar", name=f"{name}.tar", size=size, etag=f"etag of {name}")


def add_table(
    folder: str,
    name: str,
    uids: Sequence[str],
    scores: Sequence[float] | None = None,
    statuses: Sequence[str] | None = None,
    lengths: Sequence[int] | None = None,
) -> Shard:
    """Write the table of a shard whose samples lie end to end, and return the shard that it speaks of."""
    shard = shard_named(name)
    offset = 0
    samples = []
    for row, uid in enumerate(uids):
        length = lengths[row] if lengths else 1536
        status = statuses[row] if statuses else OK
        samples.append(
            Sample(row=row, key=f"{row:08d}", offset=offset, length=length, uid=split_uid(uid), status=status)
        )
        offset += length
    footer = Footer(shard=shard.name, size=shard.size, etag=shard.etag, score_id="clip-x", method="clip")
    write_table(table_url(folder, shard), footer, samples, scores)
    return shard


def table_urls(folder: str) -> list[str]:
    return [info.url for info in storage.list_files(folder, ".parquet", recursive=True)]
