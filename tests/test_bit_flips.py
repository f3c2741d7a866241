"""A single flipped bit in one of our own files gives no other result in silence, and no traceback."""

from pathlib import Path

import pytest

from tests.bit_flips import CASES, outcomes

FLIPS = 160
"""Of each file."""


@pytest.mark.parametrize("name", CASES)
def test_a_flipped_bit_is_noticed(name: str, tmp_path: Path) -> None:
    found = outcomes(CASES[name](tmp_path), FLIPS, seed=12)
    assert found.total() == FLIPS
    # The list of checkpoints can be done without.
    assert found["refused"] > 0.8 * FLIPS or name in ("latest.json", "lone checkpoint", "table's footer")


def test_there_are_enough_of_them() -> None:
    assert FLIPS * len(CASES) >= 2_000
