"""How many captions of a whole pool have each entry: a file a shard, and their sum, each made once.

The files are named by the pool and the entries that they are of. No worker waits for another: each counts its own
shards first and then whatever nobody has counted yet, so that the sum is there when the first one needs it.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from datascaler import storage
from datascaler.data.pool.shards import Shard, pool_digest
from datascaler.data.tables.array_file import encode_array, read_array
from datascaler.errors import ConfigError
from datascaler.progress import progress
from datascaler.score.captions.entries import Entries
from datascaler.score.captions.rows import read_caption_rows
from datascaler.tools.ordered_map import in_order

_FOLDER = "metaclip_counts"


def pool_counts(
    output_dir: str, shards: Sequence[Shard], entries: Entries, num_workers: int, index: int = 0, count: int = 1
) -> NDArray[np.int64]:
    """[entries] captions of all usable rows that have the entry. `shards` is the whole frozen list.

    Raises NotFoundError where a shard is gone: the sum would not be of this pool.
    """
    folder = storage.join(output_dir, _FOLDER, f"{pool_digest(shards)}-{entries.digest[:8]}")
    total_url = storage.join(folder, "total.npy")
    if not storage.exists(total_url):
        parts = storage.join(folder, "shards")
        _count_shards(parts, list(dict.fromkeys([*shards[index::count], *shards])), entries, num_workers)
        total = np.zeros(len(entries.numbers), np.int64)
        for found, counts in in_order(lambda shard: read_array(_part_url(parts, shard)), shards, num_workers):
            total[found] += counts
        storage.publish_if_absent(total_url, encode_array(total))
    total = read_array(total_url)
    if total.shape != (len(entries.numbers),):
        raise ConfigError(f"{total_url} has {total.shape} counts for {len(entries.numbers)} entries: remove its folder")
    return total


def _count_shards(folder: str, shards: Sequence[Shard], entries: Entries, num_workers: int) -> None:
    def count(shard: Shard) -> None:
        url = _part_url(folder, shard)
        if storage.exists(url):
            return
        totals: dict[int, int] = {}
        rows = read_caption_rows(shard)
        for row in np.flatnonzero(rows.ok):
            for number in entries.found_in(rows.captions[row]):
                totals[number] = totals.get(number, 0) + 1
        pairs = np.array(sorted(totals.items()), np.int64).reshape(-1, 2)
        storage.publish_bytes(url, encode_array(pairs.T))

    with progress(len(shards), "count", unit="shard") as bar:
        for _ in in_order(count, shards, num_workers):
            bar.update()


def _part_url(folder: str, shard: Shard) -> str:
    return storage.join(folder, f"{shard.name}.npy")
