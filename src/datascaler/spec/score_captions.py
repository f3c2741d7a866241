"""A scoring run from captions and metadata: which files it reads, and the numbers of each rule."""

from dataclasses import dataclass, field

from datascaler.errors import ConfigError
from datascaler.spec.field import about, names_read
from datascaler.spec.score import CAPTION_METHODS, ScorePart

METADATA_METHODS = ("clip",)
"""Methods whose scores DataComp's metadata has already."""
METADATA_ARCHS = ("b32", "l14")


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptionSpec(ScorePart):
    """Scores from the captions of a pool, or of DataComp's metadata."""

    FAMILY = (*CAPTION_METHODS, *METADATA_METHODS)

    language_model: str | None = field(
        default=None, metadata=about(place="model", methods=("basic", "english", "text_based"))
    )
    """`cld3`, or the URL of a fastText model."""
    no_language: bool = field(default=False, metadata=about(methods=("basic", "text_based")))
    """Keep captions of any language."""
    min_words: int = field(default=3, metadata=about(methods=("basic",)))
    """The four bounds of DataComp's basic filter; with sides in pixels of the image before the pool shrank it."""
    min_chars: int = field(default=6, metadata=about(methods=("basic",)))
    min_side: int = field(default=200, metadata=about(methods=("basic",)))
    max_aspect: float = field(default=3.0, metadata=about(methods=("basic",)))
    """Longer side over shorter side; 0 is no bound."""
    words: str | None = field(default=None, metadata=about(place="url", methods=("text_based",)))
    """URL of a list of words, one a line."""
    wordnet: str | None = field(default=None, metadata=about(place="url", methods=("text_based",)))
    """Folder of WordNet's database files (index.noun, ...), for `synsets`."""
    synsets: str | None = field(default=None, metadata=about(place="url", methods=("text_based",)))
    """URL of a list of WordNet synsets (n02084071), one a line."""
    entries: str | None = field(default=None, metadata=about(place="url", methods=("metaclip",)))
    """URL of MetaCLIP's entries: one a line, or a JSON list."""
    entry_limit: int = field(default=20_000, metadata=about(methods=("metaclip",)))
    """Captions of an entry that are kept, on average, where there are more."""
    seed: int = field(default=0, metadata=about(methods=("metaclip",)))
    arch: str = field(default="l14", metadata=about(methods=METADATA_METHODS))
    """Whose scores of DataComp's metadata: b32 or l14."""

    def __post_init__(self) -> None:
        ScorePart.__post_init__(self)
        for name in ("min_words", "min_chars", "min_side"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must be at least 0, got {getattr(self, name)}")
        if not (self.max_aspect == 0 or 1 <= self.max_aspect < float("inf")):
            raise ConfigError(f"max_aspect must be at least 1, or 0 for no bound, got {self.max_aspect:g}")
        if self.entry_limit < 1:
            raise ConfigError(f"entry_limit must be at least 1, got {self.entry_limit}")
        if not 0 <= self.seed < 1 << 63:
            raise ConfigError(f"seed must be in 0..2^63 - 1, got {self.seed}")
        if self.method in METADATA_METHODS:
            self._check_metadata()
        else:
            self._check_assets()

    def _check_metadata(self) -> None:
        if not self.from_metadata:
            raise ConfigError(f"--method {self.method} reads scores from DataComp's metadata: give --from-metadata")
        if self.data_dir:
            raise ConfigError(f"--from-metadata {self.from_metadata} takes the place of --data-dir {self.data_dir}")
        if self.arch not in METADATA_ARCHS:
            raise ConfigError(
                f"DataComp's metadata has scores of b32 and l14, not {self.arch!r}: give --arch b32 or l14"
            )

    def _check_assets(self) -> None:
        if bool(self.from_metadata) == bool(self.data_dir):
            raise ConfigError(f"--method {self.method} needs one of --data-dir and --from-metadata")
        reads = names_read(type(self), self.method)
        if "language_model" in reads and bool(self.language_model) == self.no_language:
            leave_out = ", or --no-language to leave it out" if "no_language" in reads else ""
            problem = "either --language-model or --no-language" if self.language_model else "to know the language"
            raise ConfigError(
                f"--method {self.method} needs {problem}: give --language-model FILE (fastText's lid.176.bin or .ftz) "
                f"or --language-model cld3{leave_out}"
            )
        if "words" in reads and bool(self.words) == bool(self.wordnet and self.synsets):
            raise ConfigError(
                "--method text_based needs --words FILE (one word a line), or --wordnet FOLDER (WordNet's dict) with "
                "--synsets FILE (n02084071, one a line), and only one of the two"
            )
        if "entries" in reads and not self.entries:
            raise ConfigError("--method metaclip needs --entries FILE: MetaCLIP's metadata, one entry a line or JSON")
