"""A name means one thing: a reader who searches for it finds one definition, and one file."""

import ast
import importlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from datascaler import errors
from tests.test_layers import SOURCE, files, module_of

SCORE_FAMILIES = {f"datascaler.cli.score.{name}" for name in ("image", "captions", "embeddings")}
"""Modules of one shape, of which `score` takes that of its method."""

SHARED = {"main"}
"""The process that `datascaler` is, and the click group in it."""

OUTSIDE_THE_TREE = {"WrongLengthError"}
"""An OSError, so that it is tried again and translated as one of a storage library is."""


def definitions(path: Path) -> Iterator[str]:
    """The names that a module gives to functions, classes and constants of its own."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


def test_no_public_name_is_defined_twice() -> None:
    homes: dict[str, set[str]] = defaultdict(set)
    for path in files():
        module = module_of(path)
        for name in definitions(path):
            if not name.startswith("_") and name not in SHARED:
                homes[name].add("a family of score" if module in SCORE_FAMILIES else module)
    assert not {name: sorted(modules) for name, modules in homes.items() if len(modules) > 1}


def test_files_are_told_apart_by_their_names() -> None:
    """A package has one `run.py` at most, so the file that holds a verb's function is named for it."""
    packages = Counter(path.relative_to(SOURCE).parts[0] for path in files() if path.name == "run.py")
    assert all(count == 1 for count in packages.values()), packages


def test_every_preloaded_module_imports() -> None:
    """A fork server ignores a preload that fails, so a move would slow the workers in silence."""
    preloaded = [
        element.value
        for path in files()
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Assign) and any(ast.unparse(target) == "_PRELOAD" for target in node.targets)
        for element in ast.walk(node.value)
        if isinstance(element, ast.Constant)
    ]
    assert len(preloaded) >= 2
    for name in preloaded:
        importlib.import_module(str(name))


def test_every_error_stands_in_the_tree() -> None:
    for path in files():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and node.name.endswith("Error"):
                in_place = path.name == "errors.py" or node.name in OUTSIDE_THE_TREE
                assert in_place, f"{module_of(path)} defines {node.name}, which belongs in errors.py"
    assert errors.__doc__ is not None
    drawn = [name for name in definitions(SOURCE / "errors.py") if name.endswith("Error")]
    assert [name for name in drawn if name not in errors.__doc__] == []
