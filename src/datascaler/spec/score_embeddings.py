"""A scoring run from stored embeddings: where they are, and the numbers of each method."""

import math
from dataclasses import dataclass, field, fields
from typing import Any

from datascaler.errors import ConfigError
from datascaler.spec.field import about, facts_of
from datascaler.spec.score import EMBEDDING_METHODS, ScorePart

KEEP_RULES = ("hard", "easy", "score", "first")


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbeddingSpec(ScorePart):
    """Scores from embeddings of this output folder, or from the npz files beside DataComp's metadata."""

    FAMILY = EMBEDDING_METHODS

    embeddings: str | None = field(default=None, metadata=about(place="scores"))
    """Score-id whose tables and .npz files `score --save-embeddings` left in the output folder."""
    arch: str = "l14"
    """Which of the two embeddings that DataComp ships: l14 or b32."""
    temperature: float = field(default=0.01, metadata=about(methods=("negcliploss",)))
    """The softmax's temperature: 0.01 for OpenAI's CLIPs, 0.07 for DFN's public one (arXiv 2405.19547)."""
    batch_rows: int = field(default=32_768, metadata=about(methods=("negcliploss",)))
    """Negatives that a row is compared with in a round."""
    rounds: int = field(default=10, metadata=about(methods=("negcliploss",)))
    """Batches that are averaged over."""
    target: str | None = field(default=None, metadata=about(place="url", methods=("normsim", "image_based")))
    """Image embeddings of what one wants to be good at: a .npy, a .npz, or a folder of .npz files."""
    p: str = field(default="2", metadata=about(methods=("normsim",)))
    """Norm over the targets: 2 or inf."""
    centroids: str | None = field(default=None, metadata=about(place="url", methods=("image_based",)))
    """Cluster centres of the pool's image embeddings, [clusters, d] in a .npy or .npz."""
    clusters: int | None = field(default=None, metadata=about(methods=("dedup",)))
    """None is the square root of the number of rows."""
    sample: int | None = field(default=None, metadata=about(methods=("dedup",)))
    """Rows that the clusters are fitted on; None is 256 a cluster, at most 1 M."""
    eps: float = field(default=0.05, metadata=about(methods=("dedup",)))
    """A row is a duplicate of an earlier one where their cosine is above 1 - eps."""
    keep: str = field(default="hard", metadata=about(methods=("dedup",)))
    """Which of several duplicates comes first and so stays; see `KEEP_RULES`."""
    seed: int = field(default=0, metadata=about(methods=("negcliploss", "dedup")))

    def __post_init__(self) -> None:
        ScorePart.__post_init__(self)
        if (self.embeddings is None) == (self.from_metadata is None):
            raise ConfigError(
                f"--method {self.method} needs --embeddings SCORE_ID (left by `datascaler score --save-embeddings`) "
                "or --from-metadata FOLDER (DataComp's parquet and npz files), and only one of them"
            )
        if self.from_metadata and self.data_dir:
            raise ConfigError(f"--from-metadata {self.from_metadata} takes the place of --data-dir {self.data_dir}")
        if self.embeddings and self.arch != "l14":
            raise ConfigError(
                f"arch {self.arch} chooses among DataComp's embeddings; embeddings {self.embeddings} names its own"
            )
        if self.from_metadata and self.arch not in ("l14", "b32"):
            raise ConfigError(f"DataComp ships the embeddings l14 and b32, not {self.arch!r}: give --arch l14 or b32")
        for name in ("batch_rows", "rounds", "clusters", "sample"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} must be at least 1, got {value}")
        if not 0 < self.temperature < math.inf:
            raise ConfigError(f"temperature must be above 0, got {self.temperature}")
        if not 0 <= self.eps <= 2:
            raise ConfigError(f"eps must be in 0..2, got {self.eps}")
        if not 0 <= self.seed < 1 << 63:
            raise ConfigError(f"seed must be in 0..2^63 - 1, got {self.seed}")
        if self.p not in ("2", "inf"):
            raise ConfigError(f"p must be 2 or inf, got {self.p!r}")
        if self.keep not in KEEP_RULES:
            raise ConfigError(f"keep must be one of {', '.join(KEEP_RULES)}, got {self.keep!r}")
        for name, file in self.files().items():
            if not file:
                raise ConfigError(f"--method {self.method} needs --{name}: a .npy or .npz of image embeddings")
        if self.method == "dedup" and self.count > 1:
            raise ConfigError(
                f"dedup compares rows of all shards, so one worker does it: leave out --count {self.count} and --index"
            )

    def settings(self) -> dict[str, Any]:
        """This method's numbers, as footers record them; files are for the run to name by content."""
        return self._own(is_file=False)

    def files(self) -> dict[str, str]:
        """This method's files."""
        return self._own(is_file=True)

    def _own(self, *, is_file: bool) -> dict[str, Any]:
        """What this method reads and others may not."""
        own = {each.name: facts_of(each) for each in fields(self) if self.method in (facts_of(each).methods or ())}
        return {name: getattr(self, name) for name, facts in own.items() if (facts.place == "url") is is_file}
