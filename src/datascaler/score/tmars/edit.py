"""T-MARS: pictures are scored without the text in them (arXiv 2307.03132)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from datascaler.data.pool.samples import Sample
from datascaler.data.pool.shards import Shard
from datascaler.score.pipeline.image_edit import SCORE
from datascaler.score.tmars.box_tables import BOXES_COLUMN, DETECTOR_SETTING, NoteSource, RowNote
from datascaler.score.tmars.boxes import TextBox, as_numbers, covered_pixels, from_numbers
from datascaler.score.tmars.detector import TextDetector
from datascaler.score.tmars.mask import mask_text

NO_BOXES = "no boxes on file"
"""Status of a row that is good here and was bad when its text was looked for."""
_BOXES = pa.field(BOXES_COLUMN, pa.list_(pa.list_(pa.float32())))
_MASKED_AREA, _UNMASKED = "masked_area", "unmasked_boxes"


@dataclass(frozen=True, slots=True)
class FindText:
    """The edit of method `boxes`: the score is the part of the picture, 0 to 1, that is text."""

    detector: TextDetector

    @property
    def columns(self) -> pa.Schema:
        return pa.schema([_BOXES])

    @property
    def settings(self) -> Mapping[str, Any]:
        return {DETECTOR_SETTING: self.detector.detector_id}

    def notes(self, shard: Shard) -> None:  # noqa: ARG002
        return None

    def known(self, sample: Sample, note: object) -> None:  # noqa: ARG002
        return None

    def __call__(
        self,
        sample: Sample,  # noqa: ARG002
        pixels: NDArray[np.uint8],
        note: object,  # noqa: ARG002
    ) -> tuple[None, Mapping[str, Any]]:
        boxes = self.detector.detect(pixels)
        area = float(covered_pixels(boxes, *pixels.shape[:2]).mean())
        return None, {SCORE: area, BOXES_COLUMN: as_numbers(boxes)}


@dataclass(frozen=True, slots=True)
class MaskText:
    """The edit of method `tmars`: text is found, or known from tables, and painted over.

    Where there is none, the score is the one that the picture has as it is, if a table knows it.
    """

    detector: TextDetector | None
    """None where the boxes are on file."""
    max_area: float
    """The masks never cover more of a picture, 0 to 1."""
    on_file: NoteSource | None = None
    source: Mapping[str, str] | None = None
    """Score-ids of what is on file, for the footer."""

    @property
    def columns(self) -> pa.Schema:
        return pa.schema([_BOXES, (_MASKED_AREA, pa.float32()), (_UNMASKED, pa.int32())])

    @property
    def settings(self) -> Mapping[str, Any]:
        detector_id = self.detector.detector_id if self.detector else self._on_file().detector_id
        return {DETECTOR_SETTING: detector_id, "max_masked_area": self.max_area, **(self.source or {})}

    def notes(self, shard: Shard) -> Sequence[RowNote] | None:
        return self.on_file.notes(shard) if self.on_file else None

    def known(self, sample: Sample, note: RowNote | None) -> Mapping[str, Any] | None:
        if note is None:
            return None
        note.require_of(sample)
        if self.detector is not None or note.boxes is None or len(note.boxes):
            return None
        return _scored_as_it_is(note)

    def __call__(
        self, sample: Sample, pixels: NDArray[np.uint8], note: RowNote | None
    ) -> tuple[NDArray[np.uint8] | None, Mapping[str, Any]]:
        if self.detector is not None:
            boxes = self.detector.detect(pixels)
        elif note is None or note.boxes is None:
            sample.status, sample.detail = NO_BOXES, "the row was bad when its text was looked for"
            return None, {}
        else:
            boxes = from_numbers(note.boxes)
        if not boxes and note is not None and (known := _scored_as_it_is(note)):
            return None, known
        masked = mask_text(pixels, boxes, self.max_area)
        return masked.pixels, _values(boxes, masked.area, masked.left)

    def _on_file(self) -> NoteSource:
        assert self.on_file is not None
        return self.on_file


def _scored_as_it_is(note: RowNote) -> Mapping[str, Any] | None:
    """All values of a row without text; None where its plain score isn't known."""
    return None if math.isnan(note.plain) else {SCORE: note.plain, **_values([], 0.0, 0)}


def _values(boxes: Sequence[TextBox], masked_area: float, unmasked: int) -> dict[str, Any]:
    return {BOXES_COLUMN: as_numbers(boxes), _MASKED_AREA: masked_area, _UNMASKED: unmasked}
