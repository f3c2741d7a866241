"""What a mix of several score columns is made of, and how it is put into words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

from datascaler.errors import ConfigError

ZSCORE, RANK = "zscore", "rank"
KINDS = (ZSCORE, RANK)

_WORDS = {
    ZSCORE: "sum of weight x (score - mean) / standard deviation",
    RANK: "sum of weight x rank / sum of |weight|, where a rank is the share of rows below plus half of those that tie",
}
_LARGEST_WEIGHT = 1e9


@dataclass(frozen=True, slots=True)
class MixRule:
    """Means, deviations and ranks are of the rows that are usable in every column; a mixed score is a float32."""

    kind: str
    weights: Mapping[str, float]
    """The weight of each score by its name, in the order given. A negative one reverses the column's ranking."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"unknown mix {self.kind!r}; known: {', '.join(KINDS)}")
        if len(self.weights) < 2:
            given = ", ".join(self.weights) or "none"
            raise ConfigError(f"a mix needs the names of at least two scores, got {given}")
        for name, weight in self.weights.items():
            if not isfinite(weight) or weight == 0 or abs(weight) > _LARGEST_WEIGHT:
                raise ConfigError(
                    f"the weight of {name} must not be 0 and within +-{_LARGEST_WEIGHT:g}, got {weight:g}"
                )

    @property
    def method(self) -> str:
        """What a subset of it is named after."""
        return f"mix-{self.kind}"

    @property
    def score_id(self) -> str:
        """Names the mixed scores, as a score-id names those of one set of tables."""
        return f"{self.kind}({', '.join(f'{name}={weight:g}' for name, weight in self.weights.items())})"

    @property
    def words(self) -> str:
        """The rule as a recipe states it."""
        return f"{_WORDS[self.kind]}, over the rows that are usable in every column"


def parse_weights(names: Sequence[str]) -> dict[str, float]:
    """`NAME` or `NAME=WEIGHT` each -> weights by name; a weight that is not given is 1."""
    weights: dict[str, float] = {}
    for text in names:
        name, has_weight, weight = text.partition("=")
        if not name or name in weights:
            raise ConfigError(f"{text!r} names {'no scores' if not name else 'scores that were named before'}")
        try:
            weights[name] = float(weight) if has_weight else 1.0
        except ValueError:
            raise ConfigError(f"not a weight: {weight!r} in {text!r} (write NAME=0.5)") from None
    return weights
