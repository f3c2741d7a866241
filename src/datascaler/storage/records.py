"""Records: JSON objects of ours that carry a checksum, so that a bit that flips in one is noticed."""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from datascaler.errors import ConfigError, DamagedError
from datascaler.safe_text import without_secrets
from datascaler.storage.publish import publish_json
from datascaler.storage.read import read_json

_CHECKSUM = "record_sha256"


def publish_record(url: str, record: Mapping[str, Any]) -> None:
    publish_json(url, signed(without_secrets(record)))


def read_record(url: str) -> dict[str, Any]:
    """The record, without its checksum. One without any, of an earlier version or written by hand, is taken as it is.

    Raises ConfigError for what is no JSON object, DamagedError for one that is not as it was written.
    """
    record = read_json(url)
    if not isinstance(record, dict):
        raise ConfigError(f"{url} is not a record of ours: it holds {type(record).__name__}, not a JSON object")
    return checked(record, url)


def signed(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record with its checksum."""
    # There and back first: a number that is a key is a text afterwards.
    return {**record, _CHECKSUM: _checksum(json.loads(json.dumps(record)))}


def checked(record: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The record without its checksum, which must fit. Raises DamagedError that names the file."""
    content = dict(record)
    expected = content.pop(_CHECKSUM, None)
    if expected is not None and expected != _checksum(content):
        raise DamagedError(
            f"{name} is damaged: its content does not fit its own checksum; restore it from a copy, or remove it to "
            "have it made anew"
        )
    return content


def _checksum(record: Mapping[str, Any]) -> str:
    """The hash of the content, however it is spaced and ordered (16 hex digits)."""
    return sha256(json.dumps(record, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]
