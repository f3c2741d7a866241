"""Records: whatever bit flips, they are read right or refused."""

import json
import random
from pathlib import Path

import pytest

from datascaler import storage
from datascaler.errors import ConfigError, DamagedError

RECORD = {"name": "ä\ud800", "counts": {"9": 1, "10": 2}, "list": [1, 2.5, None, True, 1e300], "text": ""}


def test_a_record_comes_back_without_its_checksum(tmp_path: Path) -> None:
    url = f"{tmp_path}/a.json"
    storage.publish_record(url, RECORD)
    assert storage.read_record(url) == RECORD
    storage.publish_record(url, {"by number": {9: 1, 10: 2}})
    assert storage.read_record(url) == {"by number": {"9": 1, "10": 2}}
    # Order and blanks are nobody's business.
    Path(url).write_text(json.dumps(dict(reversed(storage.read_json(url).items())), indent=7))
    assert storage.read_record(url) == {"by number": {"9": 1, "10": 2}}


@pytest.mark.parametrize("content", ["[]", "null", "3", '"a"', "", "{", "[" * 100_000, "\ud800", "nan", "9" * 9999])
def test_what_is_no_record_is_one_line(content: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(ConfigError, match=r"a\.json") as raised:
        storage.read_record(str(path))
    assert "\n" not in str(raised.value)


def test_a_changed_value_is_named_and_a_record_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    storage.publish_record(str(path), RECORD)
    path.write_text(path.read_text().replace("2.5", "2.6"))
    with pytest.raises(DamagedError, match=r"a\.json is damaged: its content does not fit its own checksum"):
        storage.read_record(str(path))
    storage.publish_json(str(path), RECORD)
    assert storage.read_record(str(path)) == RECORD


def test_no_flipped_bit_changes_a_value(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    storage.publish_record(str(path), RECORD)
    whole = path.read_bytes()
    for bit in random.Random(0).sample(range(8 * len(whole)), 400):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:
            read = storage.read_record(str(path))
        except ConfigError:
            continue
        # The name of the checksum itself may be what changed: it is one key too many then.
        assert {key: value for key, value in read.items() if key in RECORD} == RECORD
