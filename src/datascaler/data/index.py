"""Index tables: what a score table knows of a shard, without a score. They serve pools that nobody has scored."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from datascaler import storage
from datascaler.data.pool import Shard, require_unchanged
from datascaler.data.samples import Sample, read_samples
from datascaler.data.score_table import index_footer, is_done, table_url, write_table
from datascaler.progress import progress


def index_pool(shards: list[Shard], folder: str, num_workers: int = 4) -> None:
    """Write the index table of every shard that has none yet. No image is decoded."""
    with (
        ThreadPoolExecutor(num_workers) as executor,
        progress(len(shards), "index", unit="shard") as bar,
    ):
        for _ in executor.map(lambda shard: _index_shard(shard, folder), shards):
            bar.update()


def read_shard(shard: Shard) -> Iterator[Sample]:
    """The samples of a shard, in tar order, after making sure that it is the shard that was pinned."""
    require_unchanged(shard, storage.stat(shard.url))
    with storage.translated_errors(shard.url), storage.open_read(shard.url) as file:
        yield from read_samples(file)


def _index_shard(shard: Shard, folder: str) -> None:
    url, footer = table_url(folder, shard), index_footer(shard)
    if is_done(url, footer, overwrite=False):
        return
    samples = []
    for sample in read_shard(shard):
        sample.image = b""
        samples.append(sample)
    write_table(url, footer, samples)
