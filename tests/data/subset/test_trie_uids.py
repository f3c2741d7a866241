"""Tries that were made to do harm, or are damaged, end no process of ours."""

import os
import random
from pathlib import Path

import marisa_trie
import pytest

from datascaler.data.pool.uids import uid_hex
from datascaler.data.subset.subset import read_subset
from datascaler.errors import ConfigError
from tests.data.made_tables import uids_of

UIDS = sorted(uids_of(200))


def mutated(generator: random.Random, sound: bytes) -> bytes:
    raw = bytearray(sound)
    for _ in range(generator.randint(1, 4)):
        raw[generator.randrange(len(raw))] = generator.getrandbits(8)
    return bytes(raw)


def read(path: Path) -> str:
    """What reading came to: the reason, or nothing."""
    before = os.times()
    try:
        assert len(read_subset(str(path))) <= len(UIDS)
    except ConfigError as error:
        return str(error)
    finally:
        assert os.times().children_user - before.children_user < 4
    return ""


def test_tries_that_crash_their_library_are_refused(tmp_path: Path) -> None:
    sound = marisa_trie.Trie(UIDS).tobytes()
    reasons = []
    # Of 150 mutations: what most of them do, wherever their library's memory lies, to the process that reads them.
    for seed in (15, 34, 60, 2):
        (tmp_path / "a.trie").write_bytes(mutated(random.Random(seed), sound))
        reasons.append(read(tmp_path / "a.trie"))
    assert any("crashes (SIGSEGV)" in reason or "to read it takes more than 1 s" in reason for reason in reasons)
    (tmp_path / "a.trie").write_bytes(sound)
    assert uid_hex(read_subset(f"{tmp_path}/a.trie")) == UIDS


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_mutation_ends_a_process_of_ours(tmp_path: Path) -> None:
    generator = random.Random(0)
    sound = marisa_trie.Trie(UIDS).tobytes()
    reasons = []
    for _ in range(2000):
        (tmp_path / "a.trie").write_bytes(mutated(generator, sound))
        reasons.append(read(tmp_path / "a.trie"))
    assert sum("was made to do harm" in reason for reason in reasons) > 20, "the library is as it was"
    assert reasons.count("") > 20
