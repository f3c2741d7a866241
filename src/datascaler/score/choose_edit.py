"""What a method does to pictures before they are scored: nothing, or T-MARS with a detector or with boxes on file."""

from datascaler.score.pipeline.image_edit import ImageEdit
from datascaler.score.tmars.detection_model import load_detector
from datascaler.score.tmars.edit import FindText, MaskText
from datascaler.score.tmars.tables import NoteSource, detector_of_tables
from datascaler.score.worker_shards import tables_folder
from datascaler.spec.score import TextOptions


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
