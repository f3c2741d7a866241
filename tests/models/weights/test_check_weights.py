"""Weights files that were made to do harm: each is refused by name, in no time and no memory."""

import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from datascaler.errors import ConfigError
from datascaler.models.load import load_clip
from datascaler.models.run_weights import read_checkpoint
from datascaler.models.weights.check_weights import check_weights
from datascaler.models.weights.readable_weights import openai_weights
from tests.data.subset.test_safe_pickle import ATTACKS
from tests.limits import within

FLOATS = 1_000


def saved(content: object, **options: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


SOUND = saved({"a": torch.arange(FLOATS, dtype=torch.float32)})
OLD = saved({"a": torch.arange(FLOATS, dtype=torch.float32)}, _use_new_zipfile_serialization=False)


def archive_of(parts: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return file.getvalue()


def parts_of(raw: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def changed(change: Callable[[str, bytes], bytes]) -> bytes:
    return archive_of({name: change(name, content) for name, content in parts_of(SOUND).items()})


def with_pickle(content: bytes) -> bytes:
    return changed(lambda name, before: content if name.endswith("data.pkl") else before)


def with_storage(content: bytes) -> bytes:
    return changed(lambda name, before: content if name.endswith("data/0") else before)


def flagged(raw: bytes, flag: int) -> bytes:
    """The flags of every part in the list at the archive's end."""
    changed = bytearray(raw)
    at = changed.find(b"PK\1\2")
    while at >= 0:
        changed[at + 8] |= flag
        at = changed.find(b"PK\1\2", at + 1)
    return bytes(changed)


def twice() -> bytes:
    file = io.BytesIO(SOUND)
    with zipfile.ZipFile(file, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr(archive.namelist()[0], b"other")
    return file.getvalue()


def calling(name: bytes, arguments: bytes) -> bytes:
    return b"\x80\x02}X\1\0\0\0ac" + name + b"\n" + arguments + b"Rs."


BOMBS: dict[str, tuple[bytes, str]] = {
    "a storage of zeros, deflated": (
        archive_of(parts_of(SOUND) | {"archive/data/9": bytes(80 << 20)}, zipfile.ZIP_DEFLATED),
        "its parts announce 83,",
    ),
    "a storage that is shorter than its tensor": (
        with_storage(bytes(4)), "the storage '0' announces 4,000 bytes, 4 are there",
    ),
    "a tensor of a terabyte in four bytes": (saved({"a": torch.zeros(1).expand(1 << 40)}), "lies in a storage of 1"),
    "the same in the old format": (
        saved({"a": torch.zeros(1).expand(1 << 40)}, _use_new_zipfile_serialization=False), "lies in a storage of 1",
    ),
    "bytes of a number": (
        with_pickle(calling(b"builtins\nbytearray", b"J\xff\xff\xff\x7f\x85")), "bytearray is to have",
    ),
    "a tensor by its sizes": (with_pickle(calling(b"torch\nTensor", b"J\0\0\1\0J\0\0\1\0\x86")), "Tensor is to have"),
    "pairs of pairs as a key": (
        with_pickle(b"\x80\x02}X\1\0\0\0a" + b"".join(b"q%ch%c\x86" % (n, n) for n in range(60)) + b"Ns."),
        "no sound weights file: unhashable type",
    ),
    "a memo of gigabytes": (with_pickle(b"\x80\x02}r\xff\xff\xff\x7f."), "its memo announces 2,147,483,647 places"),
    "two parts of one name": (twice(), "two of its parts have the same name"),
    "an encrypted archive": (flagged(SOUND, 1), "it is encrypted"),
    "parts that are compressed by lzma": (archive_of(parts_of(SOUND), zipfile.ZIP_LZMA), "another way than by deflate"),
    "the old format, cut": (OLD[:400], ""),
}  # fmt: skip


@pytest.mark.parametrize("suffix", [".pt", ".bin"])
@pytest.mark.parametrize(("content", "reason"), BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_refused(content: bytes, reason: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"bomb{suffix}"
    path.write_bytes(content)
    with within(), pytest.raises(ConfigError) as caught:
        load_clip("ViT-Mini-8-48", str(path))
    assert "bomb" in str(caught.value)
    assert reason in str(caught.value)


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
@pytest.mark.parametrize("is_script", [False, True], ids=["saved", "script"])
def test_the_pickle_of_an_archive_is_refused(attack: bytes, is_script: bool, tmp_path: Path) -> None:
    more = {"archive/constants.pkl": b""} if is_script else {}
    (tmp_path / "a.pt").write_bytes(archive_of({"archive/data.pkl": attack, "archive/version": b"3\n", **more}))
    with within(), pytest.raises(ConfigError):
        load_clip("ViT-Mini-8-48", f"{tmp_path}/a.pt")


def safetensors_of(header: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header


def named(**offsets: list[int]) -> bytes:
    return json.dumps(
        {name: {"dtype": "F32", "shape": [2], "data_offsets": at} for name, at in offsets.items()}
    ).encode()


SAFETENSORS = {
    "a header of exabytes": safetensors_of(b"{}", 1 << 60),
    "a header of 4 GB": safetensors_of(b"{}" + bytes(100), 4 << 30),
    "a header of 9 MB of names": safetensors_of(b'{"' + b"a" * (9 << 20) + b'":{}}'),
    "a header nested deep": safetensors_of(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "tensors that overlap": safetensors_of(named(a=[0, 8], b=[4, 12])) + bytes(12),
    "a tensor that is not there": safetensors_of(named(a=[0, 8], b=[8, 1 << 40])) + bytes(8),
    "a tensor that ends before it begins": safetensors_of(named(a=[8, 0])) + bytes(8),
    "a shape of exabytes": safetensors_of(
        b'{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}'
    ),
    "no header": b"abc",
}


@pytest.mark.parametrize("content", SAFETENSORS.values(), ids=SAFETENSORS)
def test_safetensors_announce_what_is_not_there(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(content)
    with within(), pytest.raises(ConfigError, match=r"a\.safetensors"):
        load_clip("ViT-Mini-8-48", f"{tmp_path}/a.safetensors")


def test_sound_files_are_not_refused(tmp_path: Path) -> None:
    shared = torch.arange(8.0)
    module = torch.nn.Linear(3, 3)
    optimizer = torch.optim.AdamW(module.parameters())
    module(torch.ones(3)).sum().backward()
    optimizer.step()
    content = {
        "a": shared[2:5], "b": shared.reshape(2, 4).T, "c": torch.zeros(1).expand(77, 77), "empty": torch.zeros(0, 3),
        "half": torch.zeros(3, dtype=torch.bfloat16), "flag": torch.tensor(True), "int": torch.tensor(3),
        "parameter": torch.nn.Parameter(torch.ones(2)), "bytes": torch.zeros(4, dtype=torch.uint8),
        "module": module.state_dict(), "optimizer": optimizer.state_dict(), "sizes": torch.Size([49408, 4096]),
        "device": torch.device("cpu"), "names": ("a", ("b", 3)), "text": "ü" * 300,
        "complex": torch.zeros(2, dtype=torch.complex64),
    }  # fmt: skip
    for options in ({}, {"_use_new_zipfile_serialization": False}):
        raw = saved(content, **options)
        check_weights(io.BytesIO(raw))
        (tmp_path / "a.pt").write_bytes(raw)
        assert read_checkpoint(f"{tmp_path}/a.pt").keys() == content.keys()
    packed = archive_of(parts_of(SOUND), zipfile.ZIP_DEFLATED)
    check_weights(io.BytesIO(packed))


def test_an_archive_shares_storages_and_modules(tmp_path: Path) -> None:
    """One module in two places of another, sixty times over, and at its end one storage in a thousand tensors."""
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n((X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\x000X\3\0\0\0cpuJ"
    tensor += struct.pack("<i", 1 << 20) + b"tQK\0M\0\x04\x85K\1\x85\x89}tR"
    names = [b"X\4\0\0\0%04d" % number for number in range(1_000)]
    content = b"\x80\x02c__torch__\nLeaf\n)\x81}(" + b"".join(name + tensor for name in names) + b"ub"
    for level in range(60):
        content += b"q%c0c__torch__\nPair\n)\x81}(X\1\0\0\0ah%cX\1\0\0\0bh%cub" % (level, level, level)
    parts = {"x/constants.pkl": b"", "x/data.pkl": content + b".", "x/data/0": bytes(4 << 20)}
    (tmp_path / "a.pt").write_bytes(archive_of(parts))
    with within():
        weights, _ = openai_weights(tmp_path / "a.pt")
    assert len(weights) == 1_000
