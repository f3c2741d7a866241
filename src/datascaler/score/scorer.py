"""The loaded scorer of a run: the model, the edit of its images (T-MARS masks text), and the score-id."""

from dataclasses import dataclass

from datascaler.data.pool.shards import Shard
from datascaler.data.tables.score_table import Footer, footer_of, tables_folder
from datascaler.models.load import load_clip
from datascaler.models.loaded import LoadedClip
from datascaler.score.pipeline.image_edit import ImageEdit
from datascaler.score.score_id import score_id_of, settings_id
from datascaler.spec.score import ScoreSpec, TextOptions


@dataclass(frozen=True, slots=True)
class Work:
    """Ready to score."""

    method: str
    score_id: str
    clip: LoadedClip | None
    """None where no network gives the scores."""
    edit: ImageEdit | None
    """None where pictures are scored as they are."""

    def footer(self, shard: Shard) -> Footer:
        """The footer of a shard's table that is not yet made."""
        clip = self.clip
        return footer_of(
            shard,
            self.score_id,
            method=self.method,
            model=clip.arch if clip else "",
            weights_hash=clip.weights_hash if clip else "",
            preprocess_hash=clip.preprocess_hash if clip else "",
            settings=dict(self.edit.settings) if self.edit else {},
            precision=clip.precision if clip else "",
            unfinished=clip.unfinished if clip else "",
        )


def load_work(spec: ScoreSpec) -> Work:
    """Raises ConfigError where the network, the detector or the tables that it starts from can't be had."""
    # Finding text is no network's score.
    clip = None
    if spec.method != "boxes":
        clip = load_clip(spec.model, spec.pretrained, image_size=spec.image_size, context_length=spec.context_length)
        clip = clip.decoding(spec.decode).computing_in(spec.precision)
    hashes = (clip.weights_hash, clip.preprocess_hash) if clip else ("", "")
    edit = choose_edit(spec.method, spec.output_dir, spec.text, *hashes)
    if clip is not None:
        name = score_id_of(spec.method, clip)
    else:
        name = f"{spec.method}-{settings_id(edit.settings if edit else {})}"
    if clip is not None and spec.torch_compile:
        clip = clip.compile()
    return Work(spec.method, spec.score_name or name, clip, edit)


def choose_edit(
    method: str, output_dir: str, text: TextOptions, weights_hash: str = "", preprocess_hash: str = ""
) -> ImageEdit | None:
    """None for methods that score pictures as they are. The hashes are those of the network that scores, if any.

    Raises ConfigError where the detector or the tables are missing.
    """
    if method not in ("boxes", "tmars"):
        return None
    # These alone need OpenCV.
    from datascaler.score.tmars.box_tables import NoteSource, detector_of_tables
    from datascaler.score.tmars.detector import load_text_detector
    from datascaler.score.tmars.edit import FindText, MaskText

    if method == "boxes":
        return FindText(load_text_detector(text.detector))
    named = {"boxes": text.boxes, "plain": text.plain}
    folders = {name: tables_folder(output_dir, each) for name, each in named.items() if each}
    boxes, plain = folders.get("boxes"), folders.get("plain")
    detector = None if boxes else load_text_detector(text.detector)
    if not folders:
        return MaskText(detector, text.max_masked_area)
    detector_id = detector_of_tables(boxes) if boxes else ""
    on_file = NoteSource(boxes, detector_id, plain, weights_hash, preprocess_hash)
    source = {name: each for name, each in named.items() if each}
    return MaskText(detector, text.max_masked_area, on_file, source)
