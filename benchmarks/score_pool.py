"""Pools for the benchmark of scoring: JPEGs of DataComp's size, captions of the lengths that people write."""

import io
import random
import tarfile
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from benchmarks.read_pool import SIZES, uid_of_row
from tests.natural import encoded, natural_picture

SHARDS = 2
"""One for each worker of the plain loop, which shares a pool out by shards."""
_PICTURES = 64
"""Distinct ones; a network does not mind that they come again."""
_WORDS = """\
a the of in with and photo red blue white old new small large wooden house car street dog cat table chair garden
beach mountain river city night light summer winter black woman man child hand paper vintage leather cotton print
free shipping design poster kitchen recipe chocolate cake wedding dress shoes running watch silver ring necklace
london paris italy view from above window door wall art canvas landscape portrait sunset forest tree flower bird
"""


def write_pool(folder: Path, rows: int) -> None:
    """SHARDS shards of as many rows."""
    captions = captions_of(rows)
    folder.mkdir(parents=True)
    for shard in range(SHARDS):
        _write_shard(folder / f"{shard:08d}.tar", range(shard, rows, SHARDS), _pictures(), captions)


@cache
def _pictures() -> list[bytes]:
    return [
        encoded(natural_picture(*SIZES[seed % len(SIZES)], seed=seed, slope=1.9), "JPEG", quality=95)
        for seed in range(_PICTURES)
    ]


def _write_shard(path: Path, rows: Iterable[int], pictures: Sequence[bytes], captions: Sequence[str]) -> None:
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for row in rows:
            record = f'{{"uid": "{uid_of_row(row)}"}}'.encode()
            members = {"jpg": pictures[row % len(pictures)], "json": record, "txt": captions[row].encode()}
            for suffix, data in members.items():
                member = tarfile.TarInfo(f"{row:012d}.{suffix}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


def captions_of(rows: int) -> list[str]:
    """2 to 70 words each, half of them at most 9: about the lengths of DataComp's alt texts."""
    rng, words = random.Random(0), _WORDS.split()
    return [" ".join(rng.choices(words, k=min(max(round(rng.lognormvariate(2.2, 0.6)), 2), 70))) for _ in range(rows)]
