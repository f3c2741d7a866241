"""Files of vectors that announce what is not there, or would be much larger in memory: each is refused by name."""

import io
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datascaler.errors import BadInputError
from datascaler.score.embeddings.npz_rows import open_vectors
from tests.limits import within

MAGIC = b"\x93NUMPY\1\0"


def npy(descr: object, shape: str, content: bytes = b"") -> bytes:
    header = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return MAGIC + len(header).to_bytes(2, "little") + header + content


def npz(parts: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return file.getvalue()


def announcing(raw: bytes, size: int) -> bytes:
    """The same archive, whose list says another size of its first part."""
    at = raw.index(b"PK\1\2") + 24
    return raw[:at] + size.to_bytes(4, "little") + raw[at + 4 :]


def attacks() -> Iterator[Any]:
    rows = npy("<f4", "(40960, 512)", b"\0\0\x80?" * (40_960 * 512))
    yield "a.npz", npz({"img.npy": rows}), "its parts announce 83,"
    few = npz({"img.npy": npy("<f4", "(2, 512)", bytes(4096))})
    yield "a.npz", announcing(few, (1 << 32) - 2), "its parts announce 4,294,967,294 bytes, in a file of"
    yield "a.npz", npz({"img.npy": npy("<f4", "(2, 1000000000)", bytes(4096))}), "its header announces 8,000,000,000"
    yield "a.npz", npz({"img.npy": MAGIC[:6] + b"\2\0\xff\xff\xff\xff{" + bytes(9)}), "not a readable .npz"
    yield "a.npz", npz({"img.npy": npy("<f4", "(2, 4)", bytes(32))}, zipfile.ZIP_LZMA), "another way than by deflate"
    yield "a.npz", few.replace(b"PK\1\2\x14\3\x14\0\0", b"PK\1\2\x14\3\x14\0\1"), "it is encrypted"
    yield "a.npy", npy("<f4", f"({1 << 60}, 4)"), "its header announces"
    yield "a.npy", npy("<f4", "(-1, 4)"), "announces"
    yield "a.npy", npy("|O", "(2, 4)"), "object"
    yield "a.npy", npy([("a", "<f4", (1000, 1000))], "(2, 4)"), "expected floats"
    yield "a.npy", MAGIC + b"\xff\xff" + b"[" * 65_535, "not a readable"
    yield "a.npy", npy("<f4", "(" * 200 + "1" + ")" * 200, bytes(64)), ""


@pytest.mark.parametrize(("name", "content", "reason"), list(attacks()))
def test_it_is_refused(name: str, content: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with within(), ExitStack() as stack, pytest.raises(BadInputError, match=name) as caught:
        list(open_vectors(stack, f"{tmp_path}/{name}").blocks())
    assert reason in str(caught.value)


def test_packed_vectors_of_few_values_are_read(tmp_path: Path) -> None:
    """A shard whose pictures are all bad has nothing but zeros."""
    np.savez_compressed(tmp_path / "a.npz", img=np.zeros((10_000, 768), np.float16))
    with ExitStack() as stack:
        assert sum(map(len, open_vectors(stack, f"{tmp_path}/a.npz").blocks())) == 10_000
