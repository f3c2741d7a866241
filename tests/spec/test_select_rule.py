"""What a selection may be asked for, and how it is put into words."""

from fractions import Fraction
from typing import Any

import pytest

from datascaler.errors import ConfigError
from datascaler.spec.select_rule import TIE_RULE, TIES_ALL, Cut, SelectRule


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "give one of fraction, top and threshold, got none"),
        ({"fraction": Fraction(1), "top": 1}, "got fraction and top"),
        ({"threshold": 0.1, "top": 1}, "got top and threshold"),
        *(
            ({"fraction": Fraction(text)}, "fraction must be above 0 and at most 1, got")
            for text in ("0", "-0.1", "1.0000001", "30")
        ),
        ({"top": 0}, "top must be at least 1 row, got 0"),
        ({"threshold": float("nan")}, "threshold must be a finite float32, got nan"),
        ({"threshold": float("-inf")}, "threshold must be a finite float32, got -inf"),
        ({"threshold": 1e39}, r"threshold must be a finite float32, got 1e\+39"),
        ({"fraction": Fraction(1, 2), "compat": "laion"}, "unknown compat 'laion'; known: datacomp"),
        ({"top": 5, "compat": "datacomp"}, "compat datacomp is a rule for fractions, got top 5: leave it out"),
        ({"threshold": 0.28, "compat": "datacomp"}, r"got threshold 0\.28: leave it out"),
    ],
)
def test_what_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SelectRule(**given)


def test_cuts() -> None:
    assert SelectRule(fraction=Fraction("0.3")).cut(10, 9) == Cut(3)
    assert SelectRule(fraction=Fraction("0.9")).cut(10, 5) == Cut(5)
    assert SelectRule(top=5).cut(10, 5) == Cut(5)
    assert SelectRule(fraction=Fraction("0.3"), compat="datacomp").cut(12, 10) == Cut(4, with_ties=True)
    # As floats multiply: 0.29 * 100 is 28.999999999999996.
    assert SelectRule(fraction=Fraction("0.29"), compat="datacomp").cut(100, 100) == Cut(29, with_ties=True)


def test_what_a_recipe_and_a_file_name_say() -> None:
    half = SelectRule(fraction=Fraction(1, 2))
    words = "the floor(fraction x rows) best rows of the whole pool, bad rows never"
    assert (half.given, half.short_name, half.recipe) == ("fraction 0.5", "f0.5", {"rule": words, "tie_rule": TIE_RULE})
    top = SelectRule(top=7)
    words = "the best `top` rows of the whole pool, bad rows never"
    assert (top.short_name, top.recipe) == ("top7", {"rule": words, "tie_rule": TIE_RULE, "top": 7})
    least = SelectRule(threshold=0.28)
    recipe = {"rule": "score >= asked_threshold", "tie_rule": TIES_ALL, "asked_threshold": 0.28}
    assert (least.short_name, least.recipe) == ("t0.28", recipe)
    datacomp = SelectRule(fraction=Fraction(1, 2), compat="datacomp")
    assert datacomp.short_name == "f0.5-datacomp"
    assert (datacomp.recipe["tie_rule"], datacomp.recipe["compat"]) == (TIES_ALL, "datacomp")
    assert datacomp.recipe["rule"].startswith("score >= the int(N * fraction)-th of the N usable scores")
