"""The choice of a subset: how many rows are kept, and by whose scores."""

from dataclasses import dataclass, field
from fractions import Fraction

from datascaler.errors import ConfigError
from datascaler.spec.field import about, arguments_of
from datascaler.spec.mix_rule import MixRule, parse_weights
from datascaler.spec.paths import check_places
from datascaler.spec.select_rule import SelectRule


@dataclass(frozen=True, kw_only=True, slots=True)
class SubsetSpec:
    """Rows by one `method`'s scores, or by a `mix` of the columns of several `score_names`."""

    output_dir: str = field(metadata=about(place="url", written=True))
    """The folder that was scored into; subsets go to `subsets` in it."""
    method: str | None = None
    fraction: Fraction | None = None
    """Exactly one of this, `top` and `threshold` is given."""
    top: int | None = None
    threshold: float | None = None
    compat: str | None = None
    """`datacomp` is DataComp's own rule for a fraction, which keeps all ties at the threshold."""
    score_names: tuple[str, ...] = field(default=(), metadata=about(place="scores", flag="score-name", repeated=True))
    """Score-ids; of a mix one for each column, as NAME or NAME=WEIGHT."""
    mix: str | None = None
    """zscore or rank."""
    seed: int = 0
    """The seed of the method `random`."""
    formats: tuple[str, ...] = ("npy", "pkl")
    subset_name: str | None = field(default=None, metadata=about(place="scores"))
    """The subset's name, in place of METHOD-fFRACTION."""
    overwrite: bool = False
    """Replace a subset of that name which was chosen otherwise."""

    def __post_init__(self) -> None:
        check_places(self)
        object.__setattr__(self, "method", self.method.lower() if self.method else None)
        if all(each is None for each in (self.fraction, self.top, self.threshold)):
            raise ConfigError("Missing option '--fraction', '--top' or '--threshold'.")
        if self.mix:
            if self.method:
                raise ConfigError(f"--mix takes its scores from --score-name: leave out --method {self.method}")
        elif not self.method:
            raise ConfigError("Missing option '--method' (or '--mix' with several '--score-name').")
        elif len(self.score_names) > 1 or any("=" in name for name in self.score_names):
            raise ConfigError("several --score-name, or one with a weight, need --mix zscore or --mix rank")
        # Both refuse what they can't be.
        _ = self.rule, self.mix_rule

    @property
    def rule(self) -> SelectRule:
        return SelectRule(fraction=self.fraction, top=self.top, threshold=self.threshold, compat=self.compat)

    @property
    def mix_rule(self) -> MixRule | None:
        return MixRule(self.mix, parse_weights(self.score_names)) if self.mix else None

    def arguments(self) -> list[str]:
        """The arguments of `datascaler subset` that describe this; parsed, they are this spec again."""
        return arguments_of(self, {})
