"""Tars and pictures made by hand: by Python's tarfile, not by the code under test."""

import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from PIL import Image
from webdataset.tariterators import group_by_keys, tar_file_expander

from datascaler.data.pool.uids import uid_of


def picture(number: int = 0, format_: str = "PNG", size: tuple[int, int] = (12, 9), mode: str = "RGB") -> bytes:
    """A small gradient, another for each number."""
    image = Image.linear_gradient("L").resize(size).rotate(number * 37 % 360)
    buffer = io.BytesIO()
    image.convert(mode).save(buffer, format_)
    return buffer.getvalue()


def tar_of(members: Iterable[tuple[str, bytes]], format_: int = tarfile.USTAR_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format_) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def members_of(number: int, caption: str | None = None, **record: Any) -> dict[str, bytes]:
    """The three members of a good sample, by suffix; `record` overrides fields of its json."""
    text = f"caption {number}" if caption is None else caption
    fields = {"uid": uid_of(text, str(number)), "caption": text, "url": str(number)} | record
    return {"json": json.dumps(fields).encode(), "png": picture(number), "txt": text.encode()}


def shard_of(samples: Iterable[Mapping[str, bytes]]) -> bytes:
    return tar_of(
        (f"{number:012d}.{suffix}", data) for number, sample in enumerate(samples) for suffix, data in sample.items()
    )


def read_with_webdataset(*paths: Path) -> list[dict[str, Any]]:
    """The samples as webdataset groups them, undecoded. Its own opener leaves files open, so they are opened here."""
    with ExitStack() as stack:
        sources = [{"url": str(path), "stream": stack.enter_context(path.open("rb"))} for path in paths]
        return list(group_by_keys(tar_file_expander(sources)))
