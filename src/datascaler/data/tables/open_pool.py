"""A pool for programs and notebooks: its shards, its samples, and its scores as one table."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from datascaler import storage
from datascaler.data.pool.samples import Sample, read_samples
from datascaler.data.pool.shards import Shard, is_version, list_shards
from datascaler.data.pool.uids import uid_hex, uid_pairs
from datascaler.data.tables.score_table import read_table, score_folders, table_url, tables_folder
from datascaler.errors import ConfigError

_PLACES = ("uid_high", "uid_low", "key", "offset", "length", "status", "score")


@dataclass(frozen=True, slots=True)
class Pool:
    """The tar shards of a pool, as they were listed when it was opened."""

    data_dir: str
    shards: list[Shard]
    """The shards in the order of their names; each has `name`, `url`, `size` (bytes) and `etag`: the store's, or the
    time of a local file's last change."""

    def samples(self, shard: str | None = None) -> Iterator[Sample]:
        """Every sample of one shard, or of all, in tar order, streamed; no image is decoded.

        A sample has `uid_hex`, `key`, `caption`, `image` (encoded bytes), and a `status` that is "ok" or says why it
        can't be used. Raises ConfigError for a shard that the pool does not have, StorageError for one that can't be
        read.
        """
        for each in self.shards if shard is None else [self._shard(shard)]:
            with storage.translated_errors(each.url), storage.open_read(each.url) as file:
                yield from read_samples(file, shard=each.name)

    def read_sample(self, shard: str, offset: int, length: int) -> Sample:
        """One sample by its place in its shard (bytes), as a row of `read_scores` has it; nothing else is read."""
        url = self._shard(shard).url
        (piece,) = storage.read_ranges(url, [(offset, offset + length)])
        sample = next(read_samples(io.BytesIO(piece), offset, shard=shard), None)
        if sample is None:
            raise ConfigError(f"{url} has no sample at byte {offset}")
        return sample

    def read_scores(
        self, output_dir: str, score_id: str | None = None, shards: Sequence[str] | None = None
    ) -> pa.Table:
        """The scores that `score_pool` left in `output_dir`: one row a sample, in the order of the pool.

        Columns: shard, row (ordinal in the tar), uid (32 hex digits), key, offset and length (bytes), status, score
        (float32, NaN where the status is not ok). `score_id` names the folder below `<output_dir>/scores`; None takes
        the only one there. With `shards`, of these shards alone.

        Raises ConfigError where there is no such folder or no table of a shard yet, and where a table is of another
        version of its shard.
        """
        folder = tables_folder(output_dir, score_id or _only_score_id(output_dir))
        chosen = self.shards if shards is None else [self._shard(name) for name in shards]
        return pa.concat_tables([_scores_of(shard, table_url(folder, shard)) for shard in chosen])

    def _shard(self, name: str) -> Shard:
        found = next((shard for shard in self.shards if shard.name == name), None)
        if found is None:
            raise ConfigError(f"the pool {self.data_dir} has no shard {name!r}; its first is {self.shards[0].name}")
        return found


def open_pool(data_dir: str) -> Pool:
    """List the shards of a pool in DataComp's layout; nothing else is read yet.

    Args:
        data_dir: a folder or URL with `*.tar` or `shards/*.tar` in it, a tar, a brace range `{00000..00012}.tar`, or
            several of these as `a::b`.

    Raises ConfigError where no tar is found, StorageError where the store can't be read.

    Example:
        >>> pool = open_pool("pool")
        >>> [shard.name for shard in pool.shards]
        ['shards/00000000.tar', 'shards/00000001.tar']
        >>> sample = next(pool.samples())
        >>> sample.status, sample.caption
        ('ok', 'this is an orange cross')
        >>> scores = pool.read_scores("scored")
        >>> scores.num_rows
        24
        >>> best = scores.sort_by([("score", "descending")]).slice(0, 1).to_pylist()[0]
        >>> pool.read_sample(best["shard"], best["offset"], best["length"]).uid_hex == best["uid"]
        True
    """
    return Pool(data_dir, list_shards(data_dir))


def _only_score_id(output_dir: str) -> str:
    found = [storage.basename(url) for url in score_folders(output_dir)]
    if len(found) != 1:
        there = ", ".join(found) or "none"
        raise ConfigError(f"{output_dir}/scores must hold one score-id, or name one of them (there: {there})")
    return found[0]


def _scores_of(shard: Shard, url: str) -> pa.Table:
    if not storage.exists(url):
        raise ConfigError(f"no scores of {shard.name} yet: {url} is missing; finish scoring first")
    table, footer = read_table(url, _PLACES)
    if not is_version(shard, footer.size, footer.etag, footer.digest):
        raise ConfigError(f"{url} was made from another version of {shard.name}: score it again")
    uids = uid_hex(uid_pairs(table["uid_high"].to_numpy(), table["uid_low"].to_numpy()))
    rows = table.num_rows
    columns = {
        "shard": pa.array([shard.name] * rows, pa.string()),
        "row": pa.array(range(rows), pa.int64()),
        "uid": pa.array(uids, pa.string()),
        **{name: table[name] for name in ("key", "offset", "length", "status", "score")},
    }
    return pa.table(columns)
