"""The seam between the scoring pipeline and methods that look at, or change, the pictures before they are scored."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from datascaler.data.pool.samples import Sample
from datascaler.data.pool.shards import Shard

SCORE = "score"
"""The key of a row's score among its values, where no model is to give it one."""


class ImageEdit(Protocol):
    """Picklable: `known` and the call run in the decode workers, `notes` in the process that reads.

    A row that can't be done gets a status of its own in `sample.status`, and no values.
    """

    @property
    def columns(self) -> pa.Schema:
        """The columns that it adds to the table. They are null where a row is bad."""
        ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """What the footer records, and compares: all that changes the picture. Plain JSON."""
        ...

    def notes(self, shard: Shard) -> Sequence[Any] | None:
        """What it has on file of a shard's rows, one a row; None where it needs nothing."""
        ...

    def known(self, sample: Sample, note: Any) -> Mapping[str, Any] | None:
        """All values of a row, SCORE included, that needs neither its picture nor a network; None for other rows."""
        ...

    def __call__(
        self, sample: Sample, pixels: NDArray[np.uint8], note: Any
    ) -> tuple[NDArray[np.uint8] | None, Mapping[str, Any]]:
        """The picture to score, uint8 [height, width, 3], and the row's values of `columns`.

        `pixels` may be changed in place. None where no network is to see the picture: then SCORE is among the values.
        """
        ...
