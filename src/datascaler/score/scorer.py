"""What a run computes: a method's network, what is done to pictures before it sees them, and the name of the result."""

from dataclasses import dataclass

from datascaler.data.pool.shards import Shard
from datascaler.data.tables.score_table import Footer, footer_of
from datascaler.models.load import load_clip
from datascaler.models.loaded import LoadedClip
from datascaler.score.choose_edit import choose_edit
from datascaler.score.naming import score_id_of, settings_id
from datascaler.score.pipeline.image_edit import ImageEdit
from datascaler.spec.score import ScoreSpec


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
        """Of the table of a shard, before it is made."""
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
        )


def load_work(spec: ScoreSpec) -> Work:
    """Raises ConfigError where the network, the detector or the tables that it starts from can't be had."""
    # Finding text is no network's score.
    clip = None if spec.method == "boxes" else load_clip(spec.model, spec.pretrained)
    hashes = (clip.weights_hash, clip.preprocess_hash) if clip else ("", "")
    edit = choose_edit(spec.method, spec.output_dir, spec.text, *hashes)
    if clip is not None:
        name = score_id_of(spec.method, clip)
    else:
        name = f"{spec.method}-{settings_id(edit.settings if edit else {})}"
    if clip is not None and spec.torch_compile:
        clip = clip.compile()
    return Work(spec.method, spec.score_name or name, clip, edit)
