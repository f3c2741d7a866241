"""Looking up batches of uids against a dictionary that counts."""

from collections import Counter
from pathlib import Path

import numpy as np

from datascaler.data.pool.uids import UID_DTYPE, sort_order
from datascaler.data.subset.uid_filter import UidFilter, save_filter


def uids(pairs: list[tuple[int, int]]) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    return np.array(pairs, dtype=UID_DTYPE)


def test_a_pass_uses_each_uid_once_as_often_as_it_is_wanted(tmp_path: Path) -> None:
    """High halves are shared, uids come several times in a batch and in later ones, and some are not wanted."""
    random = np.random.default_rng(0)
    every = [(int(high), int(low)) for high in random.integers(0, 2**64, 12, np.uint64) for low in range(5)]
    every += [(0, 0), (2**64 - 1, 2**64 - 1)]
    wanted = [every[place] for place in random.integers(0, len(every), 40)]
    subset = uids(wanted)
    save_filter(tmp_path, subset[sort_order(subset)])
    found = UidFilter(tmp_path)
    for _ in range(3):
        found.begin_pass()
        left, stream = Counter(wanted), [every[place] for place in random.integers(0, len(every), 300)]
        for first in range(0, len(stream), 23):
            batch = stream[first : first + 23]
            assert found.take(uids(batch)).tolist() == [left.pop(uid, 0) for uid in batch]


def test_an_empty_batch(tmp_path: Path) -> None:
    save_filter(tmp_path, uids([(1, 2)]))
    assert UidFilter(tmp_path).take(uids([])).tolist() == []
