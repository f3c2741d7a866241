"""Random numbers that belong to a place (a window, a sample), not to the process that asks for them.

They come from Philox, a counter-based generator (Salmon et al. 2011), keyed by two integers and a purpose. Only its
raw output is used: numpy keeps that the same in every version, but not what its Generator methods make of it, and a run
that is resumed under another numpy must go on in the same order.
"""

import threading

import numpy as np
from numpy.typing import NDArray


def uniforms(count: int, key: tuple[int, int], purpose: int = 0) -> NDArray[np.float64]:
    """[count] numbers in [0, 1), 53 bits each."""
    return (_raw(count, key, purpose) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def shuffled(count: int, key: tuple[int, int], purpose: int = 0) -> NDArray[np.int64]:
    """A permutation of 0..count-1."""
    return _raw(count, key, purpose).argsort(kind="stable").astype(np.int64, copy=False)


def hashed(numbers: NDArray[np.uint64], key: tuple[int, int], purpose: int = 0) -> NDArray[np.uint64]:
    """A random number for each number, the same wherever it comes: splitmix64's mixing (Steele et al. 2014)."""
    mixed: NDArray[np.uint64] = numbers ^ _raw(1, key, purpose)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))


class _Generator(threading.local):
    """A thread's own: to make one anew for every place takes four times as long as to move it there."""

    def __init__(self) -> None:
        self.bits = np.random.Philox(key=[0, 0], counter=[0, 0, 0, 0])
        self.state = self.bits.state
        """This is how it was made, with nothing drawn; its key and its counter are set before each use."""


_generator = _Generator()


def _raw(count: int, key: tuple[int, int], purpose: int) -> NDArray[np.uint64]:
    bits, state = _generator.bits, _generator.state
    state["state"]["key"][:] = key
    state["state"]["counter"][3] = purpose
    bits.state = state
    raw: NDArray[np.uint64] = bits.random_raw(count)
    return raw
