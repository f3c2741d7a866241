"""What a method does to pictures before they are scored: nothing, or T-MARS with a detector or with boxes on file."""

from dataclasses import dataclass

from datascaler.errors import ConfigError
from datascaler.models.detection_model import load_detector
from datascaler.score.box_tables import NoteSource, detector_of_tables
from datascaler.score.image_edit import ImageEdit
from datascaler.score.part import tables_folder
from datascaler.score.text_masking import FindText, MaskText

DEFAULT_MAX_MASKED_AREA = 0.8


@dataclass(frozen=True, kw_only=True, slots=True)
class TextOptions:
    """How text is found and masked."""

    detector: str | None = None
    """An .onnx file; None is the default network."""
    max_masked_area: float = DEFAULT_MAX_MASKED_AREA
    """Of a picture, 0 to 1: masks stop before they cover more."""
    boxes: str | None = None
    """Score-id of tables whose boxes are used, in place of a detector."""
    plain: str | None = None
    """Score-id of tables with the same network's scores of the pictures as they are."""

    def __post_init__(self) -> None:
        if not 0 < self.max_masked_area <= 1:
            raise ConfigError(f"max_masked_area must be above 0 and at most 1, got {self.max_masked_area}")
        if self.boxes and self.detector:
            raise ConfigError(f"give boxes ({self.boxes}) or a detector ({self.detector}), not both")


def choose_edit(
    method: str, output_dir: str, text: TextOptions, weights_hash: str = "", preprocess_hash: str = ""
) -> ImageEdit | None:
    """None for methods that score pictures as they are. The hashes are those of the network that scores, if any.

    Raises ConfigError where the detector or the tables are missing.
    """
    if method == "boxes":
        return FindText(load_detector(text.detector))
    if method != "tmars":
        return None
    named = {"boxes": text.boxes, "plain": text.plain}
    folders = {name: tables_folder(output_dir, each) for name, each in named.items() if each}
    boxes, plain = folders.get("boxes"), folders.get("plain")
    detector = None if boxes else load_detector(text.detector)
    if not folders:
        return MaskText(detector, text.max_masked_area)
    detector_id = detector_of_tables(boxes) if boxes else ""
    on_file = NoteSource(boxes, detector_id, plain, weights_hash, preprocess_hash)
    source = {name: each for name, each in named.items() if each}
    return MaskText(detector, text.max_masked_area, on_file, source)
