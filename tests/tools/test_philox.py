"""Numbers that must never change: resumed runs depend on them."""

import numpy as np

from datascaler.tools.philox import shuffled, uniforms


def test_the_sequences_are_pinned() -> None:
    assert shuffled(8, (1, 2)).tolist() == [4, 2, 0, 6, 1, 5, 7, 3]
    assert uniforms(3, (1, 2), purpose=5).tolist() == [0.9298869196038739, 0.511800056698348, 0.009275977365721833]


def test_uniforms_are_uniform_and_differ_by_key_and_purpose() -> None:
    many = uniforms(20_000, (7, 7))
    assert 0 <= many.min() <= many.max() < 1
    assert np.abs(np.histogram(many, bins=10, range=(0, 1))[0] - 2000).max() < 200
    assert len({tuple(uniforms(2, key, purpose)) for key in ((0, 0), (0, 1), (1, 0)) for purpose in (0, 1)}) == 6


def test_every_place_is_taken_once() -> None:
    assert sorted(shuffled(1000, (3, 4), purpose=9)) == list(range(1000))
    assert shuffled(0, (0, 0)).tolist() == []
