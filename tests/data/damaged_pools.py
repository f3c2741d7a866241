"""Pools whose shards are damaged at random, and what the plain reader finds in them."""

import io
import json
import random
import tarfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from datascaler.data.pool.shards import Shard, find_shards
from tests.data.plain_tar import PlainSample, plain_samples

ROWS = 8
"""Of a shard before it is damaged."""
FORMATS = (tarfile.USTAR_FORMAT, tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
Tar = bytes
Damage = Callable[[bytearray, random.Random], bytearray]


@dataclass
class DamagedPool:
    folder: Path
    shards: list[Shard] = field(default_factory=list)
    uids: list[list[str]] = field(default_factory=list)
    """Of each shard, as it was written."""
    good: list[list[PlainSample]] = field(default_factory=list)
    """Of each shard, as it is now; some do not decode."""
    kinds: list[str] = field(default_factory=list)
    """Of each shard's damage."""

    def subset(self, generator: random.Random, fraction: float) -> list[str]:
        """Of what was written and of what is there: a damaged json may have got another uid."""
        written = {uid for uids in self.uids for uid in uids}
        there = {sample.uid for samples in self.good for sample in samples}
        every = sorted(written | there)
        return generator.sample(every, max(1, round(fraction * len(every))))

    def kept(
        self, wanted: Iterable[str] | None, usable: Callable[[PlainSample], bool] = lambda _: True
    ) -> list[PlainSample]:
        """What a plan is to keep of these uids (None: of all): the first usable sample of each."""
        usables = [sample for samples in self.good for sample in samples if usable(sample)]
        if wanted is None:
            return usables
        among = set(wanted)
        first = {sample.uid: sample for sample in reversed(usables)}
        return [sample for sample in usables if sample.uid in among and first[sample.uid] is sample]


def seen_of(samples: Iterable[PlainSample]) -> Counter[tuple[str, bytes]]:
    """Captions and pictures of those that decode."""
    return Counter((sample.caption, sample.image) for sample in samples if sample.decodes)


def damaged_pool(
    folder: Path,
    seed: int,
    shards: int,
    *,
    logs: str = "in order",
    kinds: Sequence[str] = (),
    formats: Sequence[int] = FORMATS,
) -> DamagedPool:
    """Each shard is damaged in one way, by turns (of all kinds where none are named), and every shard has a log of what
    was written: `in order`, or `permuted`.
    """
    generator = random.Random(seed)
    folder.mkdir()
    pool = DamagedPool(folder)
    kinds = kinds or list(DAMAGES)
    for number in range(shards):
        rows = [_members(generator, f"{seed}/{number}/{row}") for row in range(ROWS)]
        whole = _tar(rows, generator.choice(formats), generator)
        kind = kinds[(seed * shards + number) % len(kinds)]
        (folder / f"{number:04d}.tar").write_bytes(DAMAGES[kind](bytearray(whole), generator))
        uids = [uid for uid, _ in rows]
        _write_log(folder / f"{number:04d}.parquet", uids, generator if logs == "permuted" else None)
        pool.uids.append(uids)
        pool.kinds.append(kind)
    pool.shards = find_shards(str(folder))
    pool.good = [plain_samples(Path(shard.url).read_bytes(), shard.name) for shard in pool.shards]
    return pool


def _members(generator: random.Random, name: str) -> tuple[str, dict[str, bytes]]:
    """The uid and the members of a sample; its caption is its own. Some have no txt, some are bad to begin with."""
    uid = f"{generator.getrandbits(128):032x}"
    members = {
        "json": json.dumps({"uid": uid, "caption": f"thing {name}", "original_width": 9, "exif": "{}" * 40}).encode(),
        "jpg": _picture(generator),
        "txt": f"thing {name}".encode(),
    }
    if generator.random() < 0.15:
        del members["txt"]
    if generator.random() < 0.05:
        members[generator.choice(sorted(members))] = b"\xff"
    order = sorted(members, key=lambda _: generator.random()) if generator.random() < 0.5 else sorted(members)
    return uid, {suffix: members[suffix] for suffix in order}


def _picture(generator: random.Random) -> bytes:
    side = generator.choice([8, 16, 24])
    noise = np.frombuffer(generator.randbytes(side * side * 3), np.uint8).reshape(side, side, 3)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, generator.choice(["JPEG", "JPEG", "PNG", "WEBP"]), quality=75)
    return buffer.getvalue()


def _tar(rows: list[tuple[str, dict[str, bytes]]], format_: int, generator: random.Random) -> Tar:
    prefix = "" if format_ == tarfile.USTAR_FORMAT else generator.choice(["", "folder/" * 20])
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format_) as tar:
        for row, (_, members) in enumerate(rows):
            for suffix, data in members.items():
                info = tarfile.TarInfo(f"{prefix}{row:09d}.{suffix}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def _write_log(path: Path, uids: list[str], permuted_by: random.Random | None) -> None:
    """As img2dataset writes it, failed rows among the others."""
    rows = [("success", uid) for uid in uids]
    if permuted_by:
        permuted_by.shuffle(rows)
    rows.insert(len(rows) // 3, ("failed_to_download", "0" * 32))
    pq.write_table(pa.table({"status": [row[0] for row in rows], "uid": [row[1] for row in rows]}), path)


# ---- what can happen to a file ---------------------------------------------------------------------------------


def _cut(tar: bytearray, generator: random.Random) -> bytearray:
    return tar[: generator.randrange(len(tar))]


def _cut_at_a_block(tar: bytearray, generator: random.Random) -> bytearray:
    return tar[: generator.randrange(len(tar) // 512) * 512]


def _flipped(tar: bytearray, generator: random.Random) -> bytearray:
    for _ in range(generator.randint(1, 12)):
        tar[generator.randrange(len(tar))] ^= 1 << generator.randrange(8)
    return tar


def _flipped_in_a_header(tar: bytearray, generator: random.Random) -> bytearray:
    tar[_a_header(tar, generator) + generator.randrange(512)] ^= 1 << generator.randrange(8)
    return tar


def _flipped_in_a_content(tar: bytearray, generator: random.Random) -> bytearray:
    """In json, txt and picture alike: right behind a header."""
    for _ in range(generator.randint(1, 6)):
        at = _a_header(tar, generator) + 512 + generator.randrange(200)
        tar[min(at, len(tar) - 1)] ^= 1 << generator.randrange(8)
    return tar


def _zeroed(tar: bytearray, generator: random.Random) -> bytearray:
    start = generator.randrange(len(tar))
    return _overwritten(tar, start, bytes(generator.choice([1, 30, 512, 4096])))


def _zeroed_block(tar: bytearray, generator: random.Random) -> bytearray:
    return _overwritten(tar, generator.randrange(len(tar) // 512) * 512, bytes(512 * generator.choice([1, 1, 3, 8])))


def _zeroed_header(tar: bytearray, generator: random.Random) -> bytearray:
    return _overwritten(tar, _a_header(tar, generator), bytes(512))


def _zeroed_to_the_end(tar: bytearray, generator: random.Random) -> bytearray:
    start = generator.randrange(len(tar))
    return tar[:start] + bytes(len(tar) - start)


def _rotten_header(tar: bytearray, generator: random.Random) -> bytearray:
    return _overwritten(tar, _a_header(tar, generator), generator.randbytes(512))


def _garbage(tar: bytearray, generator: random.Random) -> bytearray:
    start = generator.randrange(len(tar))
    return _overwritten(tar, start, generator.randbytes(generator.choice([1, 8, 100, 512, 5000])))


def _block_lost(tar: bytearray, generator: random.Random) -> bytearray:
    """What lies behind moves to the front."""
    start = generator.randrange(len(tar) // 512) * 512
    return tar[:start] + tar[start + 512 * generator.choice([1, 2, 7]) :]


def _piece_twice(tar: bytearray, generator: random.Random) -> bytearray:
    """From one header to another: samples come twice, or parts of them."""
    start, end = sorted((_a_header(tar, generator), _a_header(tar, generator)))
    return tar[:end] + tar[start:end] + tar[end:]


def _pieces_swapped(tar: bytearray, generator: random.Random) -> bytearray:
    first, second, third = sorted(_a_header(tar, generator) for _ in range(3))
    return tar[:first] + tar[second:third] + tar[first:second] + tar[third:]


def _renamed(tar: bytearray, generator: random.Random) -> bytearray:
    """A sound header that says something else: a name, a size or a type."""
    at = _a_header(tar, generator)
    where, what = generator.choice(
        [(8, b"7"), (10, b"TXT"), (10, b"json"), (0, b"other.jpg"), (134, b"1"), (156, b"5"), (156, b"7"), (9, b"/")]
    )
    tar[at + where : at + where + len(what)] = what
    header = tar[at : at + 512]
    total = sum(header[:148]) + 8 * 32 + sum(header[156:])
    tar[at + 148 : at + 156] = b"%06o\0 " % total
    return tar


DAMAGES: dict[str, Damage] = {
    "sound": lambda tar, _: tar,
    "cut": _cut,
    "cut at a block": _cut_at_a_block,
    "flipped": _flipped,
    "flipped in a header": _flipped_in_a_header,
    "flipped in a content": _flipped_in_a_content,
    "zeroed": _zeroed,
    "zeroed block": _zeroed_block,
    "zeroed header": _zeroed_header,
    "zeroed to the end": _zeroed_to_the_end,
    "rotten header": _rotten_header,
    "garbage": _garbage,
    "a block lost": _block_lost,
    "a piece twice": _piece_twice,
    "pieces swapped": _pieces_swapped,
    "renamed": _renamed,
}
KEEP_THE_SIZE = [kind for kind in DAMAGES if "cut" not in kind and "lost" not in kind and "twice" not in kind]

REWRITTEN = ("pieces swapped", "renamed")
"""Sound headers that say something else: no rot, and nothing that can be seen without a look at the whole shard."""


def _overwritten(tar: bytearray, start: int, content: bytes) -> bytearray:
    end = min(len(tar), start + len(content))
    tar[start:end] = content[: end - start]
    return tar


def _a_header(tar: bytearray, generator: random.Random) -> int:
    headers = [at for at in range(0, len(tar) - 512, 512) if tar[at + 257 : at + 262] == b"ustar"]
    return generator.choice(headers)
