"""Pickles that were made to do harm: each is refused in no time and no memory."""

import io
import pickle
import random
import struct

import pytest

from datascaler.data.pool.uids import uid_array
from datascaler.data.subset.safe_pickle import load_data_pickle
from datascaler.data.subset.subset import read_subset
from datascaler.errors import ConfigError
from tests.limits import within

UID = b"\x8c\x20" + b"0" * 32
DTYPE = b"cnumpy\ndtype\n\x8c\x02u8K\x00K\x01\x87R"


def nested_twice(levels: int, pair: bytes) -> bytes:
    """Each level is a pair of the one below, so there are 2^levels ends in a few bytes a level."""
    return UID + b"".join(b"\x94h" + bytes([level]) + pair for level in range(levels))


ATTACKS = {
    "a memo of 64 GB": b"\x80\x02]r\xff\xff\xff\xfe.",
    "a memo of terabytes, in text": b"\x80\x02]p99999999999\n.",
    "a bytearray of 4 GB": b"\x80\x05\x96" + struct.pack("<Q", 4 << 30) + b".",
    "a text of exabytes": b"\x80\x04\x8d" + struct.pack("<Q", 1 << 60) + b".",
    "a frame of exabytes": b"\x80\x04\x95" + struct.pack("<Q", 1 << 60) + b".",
    "a number of gigabytes": b"\x80\x02\x8b" + struct.pack("<i", (1 << 31) - 1) + b".",
    "a number of many digits": b"L" + b"9" * 500_000 + b"L\n.",
    "pairs of pairs in a set": b"\x80\x04\x8f(" + nested_twice(60, b"\x86") + b"\x90.",
    "pairs of pairs as a key": b"\x80\x04}" + nested_twice(60, b"\x86") + b"Ns.",
    "pairs of pairs in a list": b"\x80\x04](" + nested_twice(60, b"\x86") + b"e.",
    "frozen sets of frozen sets": b"\x80\x04](" + b"(" * 60 + nested_twice(60, b"\x91") + b"e.",
    "a tuple 300,000 deep": b"\x80\x04\x8f(" + UID + b"\x85" * 300_000 + b"\x90.",
    "a list in itself": b"\x80\x04]\x94(h\x00e.",
    "an array of 4 GB of nothing": b"\x80\x02cnumpy\nndarray\n(tR(K\x01(K\x01t" + DTYPE + b"K\x00J\xff\xff\xff\x7ftb.",
    "a type of types of types": b"\x80\x02cnumpy\nndarray\n(tR(K\x01(K\x01t"
    + b"".join(DTYPE + b"(K\x03\x8c\x01|N(\x8c\x01a\x8c\x01bt}(\x8c\x01a" * 1 for _ in range(30))
    + b".",
    "copies of what is on the stack": b"\x80\x04]" + UID + b"2" * 1000 + b".",
    "an extension": b"\x80\x02\x82\x01.",
    "an object": b"\x80\x02cbuiltins\nset\n)\x81.",
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_it_is_refused(attack: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("pkl") / "a.pkl"
    file.write_bytes(attack)
    with within(), pytest.raises(ConfigError) as caught:
        read_subset(str(file))
    assert len(str(caught.value)) < 300


def test_any_bytes_are_refused_or_are_plain_data() -> None:
    """Mutations of sound pickles end in a value of the expected kinds, or in one error."""
    generator = random.Random(0)
    uids = [f"{generator.getrandbits(128):032x}" for _ in range(20)]
    sources = [pickle.dumps(make(uids), protocol) for make in (set, tuple, uid_array) for protocol in range(6)]
    ends = {"value": 0, "error": 0}
    with within(seconds=10):
        for number in range(900):
            raw = bytearray(sources[number % len(sources)])
            for _ in range(generator.randint(1, 4)):
                raw[generator.randrange(len(raw))] = generator.getrandbits(8)
            try:
                load_data_pickle(io.BytesIO(raw))
                ends["value"] += 1
            except ConfigError:
                ends["error"] += 1
    assert min(ends.values()) > 30
