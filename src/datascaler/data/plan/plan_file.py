"""The file form of a plan: a safetensors file, which is a JSON header and raw arrays.

It opens by mapping it into memory, and all loader workers of a node share the pages.
"""

import errno
import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from datascaler import storage
from datascaler.data.plan.plan import Plan
from datascaler.errors import ConfigError

PLAN_VERSION = 3

# Sizes fall, so that every array of a mapped file is aligned.
_ARRAYS = {
    "shard_bits": np.uint64,
    "shard_end": np.uint64,
    "shard_blocks": np.uint64,
    "shard_ranges": np.uint64,
    "row_uid": np.uint64,
    "shard_rows": np.uint32,
    "repeat_shard": np.uint32,
    "repeat_row": np.uint32,
    "repeat_count": np.uint32,
    "block_start": np.uint32,
    "block_row": np.uint32,
    "block_kept": np.uint32,
    "range_start": np.uint16,
    "range_length": np.uint16,
    "bits": np.uint8,
    "shard_list": np.uint8,
}
_TOTALS = {
    "bits": "shard_bits",
    "block_start": "shard_blocks",
    "block_row": "shard_blocks",
    "block_kept": "shard_blocks",
    "range_start": "shard_ranges",
    "range_length": "shard_ranges",
}
"""Array -> the one that says how many entries of it each shard has."""


def write_plan(url: str, plan: Plan) -> None:
    """Publish a plan; array after array, since a large one must not be in memory twice."""
    metadata = {
        "plan_version": str(PLAN_VERSION),
        "pool_digest": plan.pool_digest,
        "subset_digest": plan.subset_digest,
        "wanted": str(plan.wanted),
    }
    header: dict[str, Any] = {"__metadata__": metadata}
    end = 0
    for name in _ARRAYS:
        array = plan.arrays[name]
        start, end = end, end + array.nbytes
        bits = 8 * array.dtype.itemsize
        header[name] = {"dtype": f"U{bits}", "shape": [len(array)], "data_offsets": [start, end]}
    metadata["crc32"] = _checksum(header, [plan.arrays[name] for name in _ARRAYS])
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with storage.publish(url) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in _ARRAYS:
            file.write(np.ascontiguousarray(plan.arrays[name]).data)


def map_plan(path: Path, *, checked: bool = False) -> Plan:
    """Map a plan file that lies on a local disk, and compare its checksum, at some 2 GB/s.

    checked: for the many processes that share a plan; the one that gave it to them has compared it.
    """
    try:
        with path.open("rb") as file:
            header_bytes = int.from_bytes(file.read(8), "little")
            if header_bytes > 1 << 20:
                raise ValueError("header too long")
            header = json.loads(file.read(header_bytes))
        meta = header["__metadata__"]
        if meta["plan_version"] != str(PLAN_VERSION):
            raise ValueError(f"version {meta['plan_version']}, this code reads {PLAN_VERSION}")
        content = _mapped(path, 8 + header_bytes)
        spans = {name: header[name]["data_offsets"] for name in _ARRAYS}
        if max(end for _, end in spans.values()) != len(content):
            raise ValueError("cut short, or longer than its header says")
        arrays = {name: content[start:end].view(_ARRAYS[name]) for name, (start, end) in spans.items()}
        if not checked and meta.pop("crc32") != _checksum(header, [content]):
            raise ValueError("damaged: its content does not fit its checksum")
        _check_lengths(arrays)
        return Plan(meta["pool_digest"], meta["subset_digest"], int(meta["wanted"]), arrays)
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError, OSError) as error:
        raise ConfigError(f"{path} is not a plan of this version ({error}); build it anew") from error


def _mapped(path: Path, offset: int) -> NDArray[np.uint8]:
    """The file from `offset` on; read where the file system can't map files, as some mounts of object stores."""
    try:
        return np.memmap(path, mode="r", dtype=np.uint8, offset=offset).view(np.ndarray)
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise
        return np.fromfile(path, dtype=np.uint8, offset=offset)


def open_plan(url: str) -> Plan:
    """The plan at a path or URL, as training reads by it: which rows of which shard are kept, and in which blocks.

    It is mapped into memory, and what was mapped stays valid when a temporary copy goes. `samples` is the size of an
    epoch, repeats counted; `rows` counts the pool's; `kept_rows(shard, first, count)` gives kept rows [k] in tar order.

    Raises ConfigError for a file that is no plan of this version or is damaged, StorageError where it can't be read.

    Example:
        >>> plan = open_plan("scored/subsets/clip-f0.5.plan")
        >>> plan.samples, plan.rows, [shard.name for shard in plan.shards]
        (12, 24, ['shards/00000000.tar', 'shards/00000001.tar'])
        >>> sum(len(plan.kept_rows(shard, 0, 12)) for shard in range(2))
        12
    """
    with storage.local_copy(url) as path:
        return map_plan(path)


def plan_digest(path: Path) -> bytes:
    """SHA-256 of the header of a plan file, which holds the digests of its pool and subset and its own checksum."""
    with path.open("rb") as file:
        return sha256(file.read(int.from_bytes(file.read(8), "little"))).digest()


def _checksum(header: dict[str, Any], arrays: Sequence[NDArray[Any]]) -> str:
    """The checksum of the header, however it is written, and of the arrays."""
    checksum = crc32(json.dumps(header, sort_keys=True).encode())
    for array in arrays:
        checksum = crc32(np.ascontiguousarray(array).data, checksum)
    return f"{checksum:08x}"


def _check_lengths(arrays: dict[str, NDArray[Any]]) -> None:
    """Whether the arrays speak of the same shards, rows and blocks."""
    shards, repeats = len(arrays["shard_rows"]), len(arrays["repeat_shard"])
    expected = {"shard_end": shards, "repeat_row": repeats, "repeat_count": repeats}
    expected |= dict.fromkeys(("shard_bits", "shard_blocks", "shard_ranges"), shards + 1)
    for name, length in expected.items():
        if len(arrays[name]) != length:
            raise ValueError(f"{name} has {len(arrays[name])} entries, not {length}")
    if len(arrays["row_uid"]):
        distinct = arrays["block_kept"].sum(dtype=np.int64) - arrays["repeat_count"].sum(dtype=np.int64) + repeats
        if len(arrays["row_uid"]) != distinct:
            raise ValueError(f"row_uid has {len(arrays['row_uid'])} entries, not {distinct}")
    for name, totals in _TOTALS.items():
        if len(arrays[name]) != arrays[totals][-1]:
            raise ValueError(f"{name} has {len(arrays[name])} entries, not {arrays[totals][-1]}")
