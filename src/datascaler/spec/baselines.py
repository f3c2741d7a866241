"""DataComp's named baselines (arXiv 2304.14108) as recipes: lists of `datascaler` commands, nothing else."""

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction

from datascaler.errors import ConfigError
from datascaler.spec.field import about, arguments_of
from datascaler.spec.numbers import format_fraction
from datascaler.spec.paths import check_places
from datascaler.spec.score_captions import METADATA_ARCHS

Command = list[str]
"""What stands after `datascaler`."""
_LAION_THRESHOLD = "0.28"
_LARGEST_FLOAT32 = (2 - 2**-23) * 2.0**127
_CLD3 = "cld3"
_ANY_PROBABILITY = "0.001"
"""English is the likeliest language: of the some hundred that CLD3 knows, the likeliest one is always above this."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BaselineSpec:
    """A baseline over a folder of DataComp's metadata, with its assets by path."""

    name: str
    from_metadata: str = field(metadata=about(place="url"))
    output_dir: str = field(metadata=about(place="url", written=True))
    language_model: str | None = field(default=None, metadata=about(place="model"))
    words: str | None = field(default=None, metadata=about(place="url"))
    wordnet: str | None = field(default=None, metadata=about(place="url"))
    synsets: str | None = field(default=None, metadata=about(place="url"))
    target: str | None = field(default=None, metadata=about(place="url"))
    centroids: str | None = field(default=None, metadata=about(place="url"))
    arch: str | None = None
    fraction: Fraction | None = None
    threshold: float | None = None

    def __post_init__(self) -> None:
        check_places(self)
        if self.name not in _RECIPES:
            raise ConfigError(f"unknown baseline {self.name!r}; known: {', '.join(_RECIPES)}")
        by_score = "clip_score" in self.name
        given = [name for name in ("arch", "fraction", "threshold") if getattr(self, name) is not None]
        if not by_score and given:
            raise ConfigError(f"--{given[0]} belongs to the baselines by clip_score, not to {self.name}")
        if by_score and (self.arch is None or (self.fraction is None) == (self.threshold is None)):
            raise ConfigError(f"{self.name} needs --arch b32 or l14, and one of --fraction and --threshold")
        # Here, and not only by the command that meets them after hours of scoring.
        if self.arch not in (None, *METADATA_ARCHS):
            raise ConfigError(f"arch must be b32 or l14, got {self.arch!r}")
        if self.fraction is not None and not 0 < self.fraction <= 1:
            raise ConfigError(f"fraction must be above 0 and at most 1, got {self.fraction}")
        if self.threshold is not None and not abs(self.threshold) <= _LARGEST_FLOAT32:
            raise ConfigError(f"threshold must be a finite float32, got {self.threshold}")

    def arguments(self) -> list[str]:
        """The arguments of `datascaler subset baseline` that describe this one; parsed, they are this spec again."""
        return [self.name, *arguments_of(self, {"name": self.name})]


def baseline_commands(spec: BaselineSpec) -> list[Command]:
    """The commands to run one after another; the last one writes `subset_url(spec)`.

    Raises ConfigError, naming the flag, where an asset that the baseline needs is not given.
    """
    return _RECIPES[spec.name](spec)


def subset_name(spec: BaselineSpec) -> str:
    return spec.name + (f"-{spec.arch}-{_cut_name(spec)}" if spec.arch else "")


def subset_url(spec: BaselineSpec, name: str | None = None) -> str:
    return f"{spec.output_dir.rstrip('/')}/subsets/{name or subset_name(spec)}.npy"


def _no_filter(spec: BaselineSpec) -> list[Command]:
    bounds = _bounds(0, 0, 0, 0)
    return [
        _score(spec, "basic", "no_filter", "--no-language", *bounds),
        _subset(spec, "basic", "no_filter", "no_filter", "--threshold", "1"),
    ]


def _basic_filter(spec: BaselineSpec) -> list[Command]:
    return [
        _score(spec, "basic", "basic_filter", *_asset(spec, "language_model"), *_bounds(3, 6, 200, 3)),
        _subset(spec, "basic", "basic_filter", "basic_filter", "--threshold", "1"),
    ]


def _clip_score(spec: BaselineSpec) -> list[Command]:
    return _by_clip_score(spec, subset_name(spec))


def _laion2b(spec: BaselineSpec) -> list[Command]:
    # CLD3 is a part of LAION's rule; another model is taken only if it is asked for.
    model = ["--language-model", spec.language_model or _CLD3]
    return [
        _score(spec, "clip", "clip-b32-metadata", "--arch", "b32"),
        _subset(spec, "clip", "clip-b32-metadata", "laion2b-clip", "--threshold", _LAION_THRESHOLD),
        _score(spec, "english", "laion2b-english", *model),
        _subset(spec, "english", "laion2b-english", "laion2b-english", "--threshold", _ANY_PROBABILITY),
        _intersection(spec, "laion2b-clip", "laion2b-english"),
    ]


def _text_based(spec: BaselineSpec) -> list[Command]:
    names = _asset(spec, "words") if spec.words else [*_asset(spec, "wordnet"), *_asset(spec, "synsets")]
    return [
        _score(spec, "text_based", "text_based", *_asset(spec, "language_model"), *names),
        _subset(spec, "text_based", "text_based", "text_based", "--threshold", "1"),
    ]


def _image_based(spec: BaselineSpec) -> list[Command]:
    return [*_image_steps(spec), _intersection(spec, "image_based-captions", "image_based-clusters")]


def _image_based_intersect_clip_score(spec: BaselineSpec) -> list[Command]:
    clip = f"clip_score-{spec.arch}-{_cut_name(spec)}"
    return [
        *_by_clip_score(spec, clip),
        *_image_steps(spec),
        _intersection(spec, clip, "image_based-captions", "image_based-clusters"),
    ]


_RECIPES: dict[str, Callable[[BaselineSpec], list[Command]]] = {
    "no_filter": _no_filter,
    "basic_filter": _basic_filter,
    "clip_score": _clip_score,
    "laion2b": _laion2b,
    "text_based": _text_based,
    "image_based": _image_based,
    "image_based_intersect_clip_score": _image_based_intersect_clip_score,
}
BASELINES = tuple(_RECIPES)


def _by_clip_score(spec: BaselineSpec, name: str) -> list[Command]:
    scores = f"clip-{spec.arch}-metadata"
    cut = ["--threshold", repr(spec.threshold)]
    if spec.fraction is not None:
        cut = ["--fraction", format_fraction(spec.fraction).replace("-", "/"), "--compat", "datacomp"]
    return [
        _score(spec, "clip", scores, "--arch", str(spec.arch)),
        _subset(spec, "clip", scores, name, *cut),
    ]


def _image_steps(spec: BaselineSpec) -> list[Command]:
    files = [*_asset(spec, "target"), *_asset(spec, "centroids")]
    captions = [*_asset(spec, "language_model"), *_bounds(2, 6, 0, 0)]
    return [
        _score(spec, "basic", "image_based-captions", *captions),
        _subset(spec, "basic", "image_based-captions", "image_based-captions", "--threshold", "1"),
        _score(spec, "image_based", "image_based-clusters", "--arch", "l14", *files),
        _subset(spec, "image_based", "image_based-clusters", "image_based-clusters", "--threshold", "1"),
    ]


def _cut_name(spec: BaselineSpec) -> str:
    return f"f{format_fraction(spec.fraction)}" if spec.fraction is not None else f"t{spec.threshold!r}"


def _bounds(words: int, chars: int, side: int, aspect: int) -> list[str]:
    names = ("--min-words", "--min-chars", "--min-side", "--max-aspect")
    return [each for pair in zip(names, map(str, (words, chars, side, aspect)), strict=True) for each in pair]


def _asset(spec: BaselineSpec, name: str) -> list[str]:
    value = getattr(spec, name)
    flag = "--" + name.replace("_", "-")
    if not value:
        alternative = " (or --words FILE)" if name in ("wordnet", "synsets") else ""
        raise ConfigError(f"{spec.name} needs {flag}{alternative}: see docs/baselines.md for what it is")
    return [flag, value]


def _score(spec: BaselineSpec, method: str, name: str, *options: str) -> Command:
    where = ["--from-metadata", spec.from_metadata, "--output-dir", spec.output_dir]
    return ["score", *where, "--method", method, "--score-name", name, *options]


def _subset(spec: BaselineSpec, method: str, scores: str, name: str, *cut: str) -> Command:
    chosen = ["--output-dir", spec.output_dir, "--method", method, "--score-name", scores]
    return ["subset", *chosen, *cut, "--formats", "npy", "--subset-name", name]


def _intersection(spec: BaselineSpec, *names: str) -> Command:
    return ["subset", "combine", "and", *(subset_url(spec, name) for name in names), "--output", subset_url(spec)]
