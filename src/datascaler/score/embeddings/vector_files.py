"""Image embeddings of what one wants to be good at: the training images of ImageNet, say."""

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datascaler import storage
from datascaler.errors import BadInputError, ConfigError
from datascaler.models.device import choose_device
from datascaler.score.embeddings.npz_rows import BLOCK_ROWS, open_vectors
from datascaler.score.embeddings.vectors import unit


@dataclass(frozen=True, slots=True)
class VectorFile:
    """Vectors in memory, as they were stored, and their name by content."""

    url: str
    vectors: NDArray[Any]
    """[n, d], none of them zero."""
    sha256: str

    def units(self) -> Iterator[Tensor]:
        """float32 of length 1, on the device, a block at a time."""
        for start in range(0, len(self.vectors), BLOCK_ROWS):
            yield unit(torch.from_numpy(self.vectors[start : start + BLOCK_ROWS]).to(choose_device()))

    @property
    def width(self) -> int:
        return int(self.vectors.shape[1])


def read_vectors(url: str) -> VectorFile:
    """The array of a .npy, the one named img of an .npz, or those of all .npz files below a folder.

    Rows that are zero, as `score --save-embeddings` leaves where a picture is bad, are left out.

    Raises ConfigError for a folder without files and for vectors that are not finite, BadInputError for other shapes.
    """
    digest = hashlib.sha256()
    parts: list[NDArray[Any]] = []
    for file in _files(url):
        with ExitStack() as stack:
            opened = open_vectors(stack, file)
            if parts and opened.width != parts[0].shape[1]:
                raise BadInputError(f"{file} has vectors of {opened.width} numbers, others of {parts[0].shape[1]}")
            for block in opened.blocks():
                norms = np.linalg.norm(block.astype(np.float32), axis=1)
                if not np.isfinite(norms).all():
                    raise ConfigError(f"{file} has vectors that are not finite: embed those images again")
                kept = block[norms > 0]
                digest.update(f"{kept.dtype.str} {kept.shape}".encode() + kept.tobytes())
                parts.append(kept)
    if not sum(map(len, parts)):
        raise ConfigError(f"{url} has no vectors")
    return VectorFile(url, np.concatenate(parts), digest.hexdigest())


def _files(url: str) -> list[str]:
    if url.endswith((".npy", ".npz")):
        return [url]
    found = [info.url for info in storage.list_files(url, ".npz", recursive=True)]
    if not found:
        raise ConfigError(f"{url} is neither a .npy nor an .npz file, nor a folder with .npz files")
    return found
