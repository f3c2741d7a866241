"""How many of a pool's rows are kept: a fraction of it, a number of rows, or all from a score on."""

from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import Any

from datascaler.errors import ConfigError
from datascaler.spec.numbers import format_fraction

TIE_RULE = "rows at the threshold are kept in ascending order of uid"
TIES_ALL = "all rows at the threshold are kept"
DATACOMP = "datacomp"
_LARGEST = (2 - 2**-23) * 2.0**127
"""The largest float32."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The first `rows` rows in the order of descending score and ascending uid."""

    rows: int
    with_ties: bool = False
    """And every further row with the score of the last of them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SelectRule:
    """Exactly one of `fraction`, `top` and `threshold`."""

    fraction: Fraction | None = None
    top: int | None = None
    """Rows."""
    threshold: float | None = None
    """Lowest score to keep, rounded to float32 as scores are, so that a threshold printed by a selection is itself."""
    compat: str | None = None
    """`datacomp`: its own rule for a fraction (baselines/apply_filter.py), ties and all."""

    def __post_init__(self) -> None:
        given = [name for name in ("fraction", "top", "threshold") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ConfigError(f"give one of fraction, top and threshold, got {' and '.join(given) or 'none'}")
        if self.fraction is not None and not 0 < self.fraction <= 1:
            raise ConfigError(f"fraction must be above 0 and at most 1, got {float(self.fraction):g}")
        if self.top is not None and self.top < 1:
            raise ConfigError(f"top must be at least 1 row, got {self.top}")
        if self.threshold is not None and not abs(self.threshold) <= _LARGEST:
            raise ConfigError(f"threshold must be a finite float32, got {self.threshold}")
        if self.compat not in (None, DATACOMP):
            raise ConfigError(f"unknown compat {self.compat!r}; known: {DATACOMP}")
        if self.compat and self.fraction is None:
            raise ConfigError(f"compat {DATACOMP} is a rule for fractions, got {self.given}: leave it out")

    @property
    def given(self) -> str:
        """`fraction 0.3`, as messages name it."""
        if self.fraction is not None:
            return f"fraction {float(self.fraction):g}"
        return f"top {self.top}" if self.top is not None else f"threshold {self.threshold:g}"

    @property
    def short_name(self) -> str:
        """The rule as file names have it: `f0.3`, `top5000`, `t0.28`, `f0.3-datacomp`."""
        if self.fraction is not None:
            return f"f{format_fraction(self.fraction)}" + (f"-{self.compat}" if self.compat else "")
        return f"top{self.top}" if self.top is not None else f"t{self.threshold!r}"

    @property
    def passes(self) -> int:
        """How often a selection reads every table."""
        return 1 if self.threshold is not None else 2

    @property
    def recipe(self) -> dict[str, Any]:
        """What a subset's recipe says of the rule; a fraction stands there of itself."""
        given = {"top": self.top, "asked_threshold": self.threshold, "compat": self.compat}
        return {
            "rule": self._words,
            "tie_rule": TIES_ALL if self.compat or self.threshold is not None else TIE_RULE,
            **{name: value for name, value in given.items() if value is not None},
        }

    @property
    def _words(self) -> str:
        if self.compat:
            return "score >= the int(N * fraction)-th of the N usable scores in descending order, counted from 0"
        if self.fraction is not None:
            return "the floor(fraction x rows) best rows of the whole pool, bad rows never"
        return "the best `top` rows of the whole pool, bad rows never" if self.top else "score >= asked_threshold"

    def cut(self, rows: int, usable: int) -> Cut:
        """What a fraction or a top keeps of a pool of so many rows. Raises ConfigError if that is nothing."""
        if self.compat and self.fraction is not None:
            return self._datacomp_cut(usable)
        if self.top is not None and self.top > usable:
            raise ConfigError(f"top {self.top} of {rows} rows, of which {usable} are usable: ask for at most {usable}")
        keep = self.top if self.fraction is None else min(floor(self.fraction * rows), usable)
        if not keep:
            raise ConfigError(f"{self.given} of {rows} rows ({usable} usable) keeps nothing")
        return Cut(keep)

    def _datacomp_cut(self, usable: int) -> Cut:
        """Its N is all rows of its metadata, each of which has a score; ours is all rows that have one."""
        assert self.fraction is not None
        index = int(usable * float(self.fraction))
        if index >= usable:
            raise ConfigError(
                f"DataComp's rule reads element {index} of {usable} descending scores, which is past the last one, for "
                f"{self.given}: use a smaller fraction, or leave compat {DATACOMP} out"
            )
        return Cut(index + 1, with_ties=True)
