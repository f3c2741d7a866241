"""Uids: DataComp's rule, and hex digits <-> two integers without loss of value or order."""

import random

import numpy as np

from datascaler.data.pool.uids import (
    find_sorted,
    is_sorted,
    is_uid,
    join_uid,
    sort_order,
    split_uid,
    uid_array,
    uid_digests,
    uid_hex,
    uid_of,
    uid_pairs,
)


def random_uids(count: int) -> list[str]:
    generator = random.Random(1)
    return [f"{generator.getrandbits(128):032x}" for _ in range(count)]


def test_the_rule_is_the_md5_of_text_and_url() -> None:
    # md5 of "abc", RFC 1321's test suite.
    assert uid_of("a", "bc") == uid_of("ab", "c") == "900150983cd24fb0d6963f7d28e17f72"
    assert uid_of("", "") == "d41d8cd98f00b204e9800998ecf8427e"
    assert uid_of("naïve 日本", "") == uid_of("naïve ", "日本")


def test_what_is_a_uid() -> None:
    assert is_uid("0123456789abcdefABCDEF0123456789")
    for other in ("", "0" * 31, "0" * 33, "g" * 32, "0x" + "0" * 30, " " * 32, None, 5, b"0" * 32):
        assert not is_uid(other)


def test_hex_and_integers_are_the_same_thing() -> None:
    uids = ["0" * 32, "f" * 32, "0" * 16 + "f" * 16, *random_uids(200)]
    assert [join_uid(*split_uid(uid)) for uid in uids] == uids
    array = uid_array(uids)
    assert uid_hex(array) == uids
    assert [(int(pair["f0"]), int(pair["f1"])) for pair in array] == [split_uid(uid) for uid in uids]
    assert np.array_equal(uid_pairs(array["f0"], array["f1"]), array)
    assert uid_hex(uid_array([])) == []


def test_the_order_is_that_of_the_hex() -> None:
    uids = [*random_uids(300), "0" * 15 + "1" + "0" * 16, "0" * 15 + "1" + "f" * 16, "0" * 16 + "f" * 16]
    array = uid_array(uids)
    assert not is_sorted(array)
    ordered = array[sort_order(array)]
    assert uid_hex(ordered) == sorted(uids)
    assert is_sorted(ordered)
    assert is_sorted(uid_array([uids[0], uids[0]]))


def test_finding_the_first_of_each_even_where_high_halves_are_shared() -> None:
    shared = [f"{high:016x}{low:016x}" for high in (0, 7, 2**64 - 1) for low in (1, 1, 3, 5, 2**64 - 1)]
    present = sorted([*random_uids(100), *shared])
    array = uid_array(present)
    absent = [f"{7:016x}{4:016x}", f"{8:016x}{0:016x}", "0" * 32, f"{2**64 - 1:016x}{2:016x}"]
    wanted = [*present, *absent]
    found = find_sorted(uid_array(wanted), array["f0"], array["f1"])
    assert found.tolist() == [present.index(uid) if uid in present else -1 for uid in wanted]
    assert find_sorted(uid_array(wanted), array["f0"][:0], array["f1"][:0]).tolist() == [-1] * len(wanted)


def test_digests_differ_wherever_the_uids_do() -> None:
    """Also of uids that people made by counting, in either half or in both."""
    counted = [f"{high:016x}{low:016x}" for high in range(60) for low in range(60)]
    counted += [f"{number << 56:016x}{number << 56:016x}" for number in range(1, 200)]
    array = uid_array({*counted, *random_uids(5000)})
    assert len(np.unique(uid_digests(array["f0"], array["f1"]))) == len(array)
