"""The same as `tests/test_bit_flips.py`, ten times as often."""

from pathlib import Path

import pytest

from tests.bit_flips import CASES, outcomes

pytestmark = pytest.mark.slow

FLIPS = 1_400


@pytest.mark.parametrize("name", CASES)
def test_a_flipped_bit_is_noticed(name: str, tmp_path: Path) -> None:
    assert FLIPS * len(CASES) >= 20_000
    assert outcomes(CASES[name](tmp_path), FLIPS, seed=1_212).total() == FLIPS
