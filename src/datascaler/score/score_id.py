"""How tables' folders are named where no name is given."""

import json
import re
from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datascaler.models.loaded import LoadedClip


def score_id_of(method: str, clip: "LoadedClip") -> str:
    """`method-arch-<8 hex of the weights hash>`, fit for a folder's name."""
    name = re.split("[/:]", clip.arch.rstrip("/"))[-1]
    arch = "".join(letter if letter.isalnum() or letter in "-." else "_" for letter in name)
    return f"{method}-{arch}-{clip.weights_hash[:8]}"


def settings_id(settings: Mapping[str, Any]) -> str:
    """8 hex of a sha256 over the settings as JSON."""
    return sha256(json.dumps(dict(settings), sort_keys=True).encode()).hexdigest()[:8]
