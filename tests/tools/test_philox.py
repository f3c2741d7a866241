"""Numbers that must never change: resumed runs depend on them."""

from concurrent.futures import ThreadPoolExecutor
from random import Random

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


def test_numbers_are_those_of_numpys_generator_made_anew() -> None:
    """In every thread, for whatever was asked for before. Lists with numbers beyond 2^63 numpy rounds to float64."""

    def agrees(number: int) -> bool:
        random = Random(number)
        key = (random.getrandbits(64), random.getrandbits(random.choice([1, 40, 64])))
        purpose, count = random.getrandbits(random.choice([1, 30, 64])), random.choice([0, 1, 2, 3, 4, 5, 9, 100])
        counter = np.array([0, 0, 0, purpose], np.uint64)
        anew = np.random.Philox(key=np.array(key, np.uint64), counter=counter).random_raw(count)
        return bool((uniforms(count, key, purpose) == (anew >> np.uint64(11)) * 2.0**-53).all())

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(agrees, range(2_000)))


def test_neighbouring_keys_beyond_two_to_the_63_differ() -> None:
    assert uniforms(2, (1 << 63, 0)).tolist() != uniforms(2, ((1 << 63) + 1, 0)).tolist()
