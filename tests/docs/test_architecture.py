"""The map of the code names every package, in the order in which they may import each other."""

import re

import pytest

from tests.docs.pages import ROOT
from tests.test_layers import INSIDE, LAYERS, SOURCE

_MAP = (ROOT / "docs" / "architecture.md").read_text().partition("## Packages")[2].partition("\n## ")[0]
NAMED = [name for row in re.findall(r"^\| (`[^|]*)\|", _MAP, re.MULTILINE) for name in re.findall(r"`([\w/]+)`", row)]
"""In the map's order: data/pool, data/tables, ..."""


def test_every_package_is_on_the_map_once() -> None:
    folders = [str(path.parent.relative_to(SOURCE)) for path in SOURCE.rglob("__init__.py")]
    # `data` itself holds nothing but its packages.
    assert sorted(NAMED) == sorted(set(folders) - {".", "data"})


def test_the_map_goes_from_the_top_down() -> None:
    level = {part: number for number, parts in enumerate(LAYERS) for part in parts}
    tops = [level[name.split("/")[0]] for name in NAMED]
    assert tops == sorted(tops, reverse=True)


@pytest.mark.parametrize("package", ["cluster", "data"])
def test_so_do_its_parts(package: str) -> None:
    names = [name.removeprefix(f"{package}/") for name in NAMED if re.fullmatch(rf"{package}/\w+", name)]
    levels = [next(level for level, line in enumerate(INSIDE[package]) if name in line.split()) for name in names]
    assert levels == sorted(levels, reverse=True)
