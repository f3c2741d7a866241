"""Each module's first sentence says what is in it; the site lists them."""

import ast

import pytest

from tests.docs.pages import ROOT


@pytest.mark.parametrize("top", ["src", "tests", "benchmarks", "docs"])
def test_every_module_has_one(top: str) -> None:
    for path in sorted((ROOT / top).rglob("*.py")):
        text = path.read_text()
        # An empty package marker says nothing.
        assert not text.strip() or ast.get_docstring(ast.parse(text)), path
