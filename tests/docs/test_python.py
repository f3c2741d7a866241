"""The Python that the README and the guides show is Python, and calls the library as it is."""

import ast
import inspect
from importlib import import_module

import pytest

import datascaler
from tests.docs.pages import ROOT, Block, blocks

PUBLIC: list[str] = import_module("datascaler").__all__


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_blocks(block: Block) -> None:
    tree = ast.parse(block.text)
    library = [
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "datascaler"
        for alias in node.names
    ]
    assert set(library) <= set(PUBLIC)
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in library:
            signature = inspect.signature(getattr(datascaler, call.func.id))
            # A TypeError names an argument that is not there, or one that is missing.
            signature.bind(*call.args, **{word.arg: word.value for word in call.keywords if word.arg})


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_what_starts_processes_is_not_done_by_importing_it(block: Block) -> None:
    """Loader workers import the script that starts them, so that has a function, and a guard around its call."""
    tree = ast.parse(block.text)
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    inside = {id(node) for function in functions for node in ast.walk(function)}
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "loader":
            assert id(call) in inside
            assert 'if __name__ == "__main__":' in block.text


def test_the_readme_is_short_and_has_a_picture() -> None:
    readme = (ROOT / "README.md").read_text()
    assert len(readme.splitlines()) <= 200
    assert "](docs/demo.png)" in readme
    assert (ROOT / "docs" / "demo.png").stat().st_size <= 150_000
