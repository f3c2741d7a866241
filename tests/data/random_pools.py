"""Random pools of odd tars, made by Python's tarfile, and what a loop over webdataset's samples says of them."""

import hashlib
import io
import json
import random
import tarfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datascaler.data.pool.shards import Shard, find_shards
from datascaler.data.pool.uids import is_uid, sort_order, uid_array
from tests.data.tars import picture, read_with_webdataset

FORMATS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
_NOT_DATA = {"__key__", "__url__", "__local_path__"}


@dataclass
class RandomPool:
    shards: list[Shard]
    rows: list[list[str]] = field(default_factory=list)
    """By shard: the uid of each sample in tar order, empty where it can't be used."""

    def kept(self, uids: list[str] | None) -> list[list[int]]:
        """The rows of each shard that a subset keeps, repeated as often as wanted: the first of each uid."""
        wanted, taken = Counter(uids or []), set()
        kept = []
        for rows in self.rows:
            inside: list[int] = []
            for row, uid in enumerate(rows):
                if uid and uids is None:
                    inside.append(row)
                elif uid and uid not in taken:
                    inside += [row] * wanted[uid]
                    taken.add(uid)
            kept.append(inside)
        return kept

    def subset(self, generator: random.Random, fraction: float) -> list[str]:
        """Part of the pool's uids, some several times, and a few that it does not have."""
        distinct = sorted({uid for rows in self.rows for uid in rows if uid})
        chosen = [uid for uid in distinct if generator.random() < fraction]
        repeated = [uid for uid in chosen if generator.random() < 0.3] * 2
        return chosen + repeated + [new_uid(generator) for _ in range(3)]


def random_pool(folder: Path, seed: int) -> RandomPool:
    generator = random.Random(seed)
    folder.mkdir()
    seen: list[str] = []
    for number in range(generator.randint(1, 5)):
        (folder / f"{number}.tar").write_bytes(_random_tar(generator, seen))
    pool = RandomPool(find_shards(str(folder)))
    pool.rows = [
        [_usable_uid(sample, shard.name) for sample in read_with_webdataset(Path(shard.url))] for shard in pool.shards
    ]
    return pool


def sorted_pairs(uids: list[str]) -> NDArray[np.void]:
    pairs = uid_array(uids)
    return pairs[sort_order(pairs)]


def new_uid(generator: random.Random) -> str:
    return f"{generator.getrandbits(128):032x}"


def _random_tar(generator: random.Random, seen: list[str]) -> bytes:
    """Up to 60 samples in any member order, with directories and long names among them, some dead, some twice."""
    buffer = io.BytesIO()
    folder = generator.choice(["", "a.b/", "long/" * 40])
    # ustar holds no name of that length.
    format_ = generator.choice(FORMATS[1:] if folder.startswith("long") else FORMATS)
    with tarfile.open(fileobj=buffer, mode="w", format=format_) as tar:
        for number in range(generator.randint(0, 60)):
            if generator.random() < 0.1:
                directory = tarfile.TarInfo(f"directory{number}")
                directory.type = tarfile.DIRTYPE
                tar.addfile(directory)
            uid = generator.choice(seen) if seen and generator.random() < 0.2 else new_uid(generator)
            seen.append(uid)
            members = list(_members(generator, uid).items())
            generator.shuffle(members)
            for suffix, content in members:
                info = tarfile.TarInfo(f"{folder}{number:06d}.{suffix}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _members(generator: random.Random, uid: str) -> dict[str, bytes]:
    size = (generator.randint(1, 60), generator.randint(1, 60))
    record = {"uid": uid, "caption": "from the json"}
    members = {"json": json.dumps(record).encode(), "PNG": picture(size=size), "txt": b"a caption"}
    fault = generator.random()
    if fault < 0.05:
        members["json"] = b"{"
    elif fault < 0.1:
        members["json"] = json.dumps({**record, "uid": generator.choice([None, uid[:-1], uid + "0"])}).encode()
    elif fault < 0.15:
        del members["PNG"]
    elif fault < 0.2:
        members["PNG"] = b""
    elif fault < 0.25:
        members["txt"] = b"\xff"
    elif fault < 0.35:
        del members["txt"]
    return members


def _usable_uid(sample: dict[str, Any], shard: str) -> str:
    members = {name: content for name, content in sample.items() if name not in _NOT_DATA}
    try:
        record = json.loads(members["json"])
        caption = members["txt"].decode() if "txt" in members else record["caption"]
    except (KeyError, ValueError):
        return ""
    uid = record["uid"]
    if uid is None:
        uid = hashlib.md5((sample["__key__"] + shard).encode()).hexdigest()
    return uid if members.get("png") and caption is not None and is_uid(uid) else ""
