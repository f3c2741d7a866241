"""Draws -> samples, with a plan or without: what a loader worker opens, and how it takes the first that decodes."""

from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

from datascaler.data.pool.samples import Sample
from datascaler.errors import ImageDecodeError

Decoded = TypeVar("Decoded")


class Feed(Protocol):
    """Belongs to one worker, whose parts must come in rising order of draws to be cheap."""

    def part(self, first: int, size: int, index: int, of: int) -> Iterator[tuple[int, Iterator[Sample]]]:
        """Part `index` of `of` of the draws [first, first + size): the number of each, and its sample with those that
        stand in, in their order, should it not decode. Which samples these are does not depend on index and of. Each
        draw is dealt with before the next is asked for, and a stand-in is asked for only if none before decoded.

        Raises BadInputError when the stand-ins run out.
        """

    def close(self) -> None: ...


class Source(Protocol):
    """What a worker needs to open a feed; plain values, so that it can be sent to another process."""

    def open(self, *, seed: int, batch_size: int, end: int) -> Feed:
        """`batch_size` is global; nothing is read ahead for draws from number `end` on."""


def first_decoded(
    candidates: Iterator[Sample], decode: Callable[[bytes | memoryview], Decoded]
) -> tuple[Decoded, str, str]:
    """The image and the caption of the first sample that decodes, and why it is not the draw's own, empty if it is: a
    bad image never shifts the order, another takes its place, the same in every run.
    """
    fault = ""
    for sample in candidates:
        try:
            return decode(sample.image), sample.caption, fault
        except ImageDecodeError as error:
            fault = fault or sample.detail or str(error)
    raise AssertionError("a feed that has no more stand-ins raises")
