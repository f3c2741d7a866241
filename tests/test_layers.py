"""Imports go down only: who may know of whom is the shape of the package."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "datascaler"

WORKERS = {"score", "train", "evaluate", "sweep"}

LAYERS = [
    {"safe_text"},
    {"errors", "output_streams", "progress"},
    {"extras", "foreign_errors"},
    {"datascaler"},
    {"stop"},
    {"tools"},
    {"spec"},
    {"storage"},
    {"data"},
    {"models"},
    WORKERS | {"cluster"},
    {"forecasting"},
    {"report"},
    {"demo"},
    {"cli"},
    {"__main__"},
]
"""From the bottom up; `datascaler` is the package's own `__init__`."""

INSIDE = {
    "data": ["pool", "tables", "subset", "plan", "select", "read", "materialize", "runs", "make"],
    "data.select": ["", "sampler"],
    "score": ["pipeline", "tmars", "", "captions", "embeddings", "score_pool"],
    "models": ["open_clip_parts", "weights", ""],
    "train": ["loading", ""],
    "evaluate": ["hub", ""],
    "cluster": ["kube", "watch", "submit", "act"],
    "cli": ["", "cluster pool score subset", "submit", "main"],
}
"""Within a package, from the bottom up: "" is what stands in the folder itself, and names of one line are strangers."""

MAX_MODULES = 22
"""In a folder."""

SIDEWAYS = {("sweep", "train")}
"""Neighbours that may be imported: a sweep is training runs."""

LIGHT = {"safe_text", "output_streams", "spec", "errors", "extras", "foreign_errors", "stop", "cli", "datascaler"} | {
    "__main__"
}
"""What `datascaler --help` loads: the standard library, click and one another."""


def part_of(module: str) -> str:
    """datascaler.train.train_clip -> train"""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "datascaler"


def imports_of(path: Path, *, top_only: bool = False) -> Iterator[str]:
    """Full names of the modules that a file imports, inside functions too."""
    tree = ast.parse(path.read_text())
    for node in tree.body if top_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            assert node.module is not None
            for alias in node.names:
                inside = SOURCE.parent.joinpath(*node.module.split("."), f"{alias.name}.py")
                is_module = inside.exists() or inside.with_suffix("").is_dir()
                yield f"{node.module}.{alias.name}" if is_module else node.module


def files() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", files(), ids=module_of)
def test_imports_go_down(path: Path) -> None:
    level = {part: number for number, parts in enumerate(LAYERS) for part in parts}
    own = part_of(module_of(path))
    for name in imports_of(path):
        if name.split(".")[0] != "datascaler":
            continue
        other = part_of(name)
        allowed = other == own or level[other] < level[own] or (own, other) in SIDEWAYS
        assert allowed, f"{module_of(path)} ({own}) imports {name}"


def level_inside(package: str, module: str) -> tuple[int, str]:
    """Where a module of a package stands in it, and under which name."""
    name = module.removeprefix(f"datascaler.{package}").split(".")[1:2]
    for level, names in enumerate(INSIDE[package]):
        if name and name[0] in names.split():
            return level, name[0]
    is_folder = SOURCE.joinpath(*package.split("."), *name).is_dir() and name
    assert not is_folder, f"{package}.{name[0]} has no place in INSIDE"
    return INSIDE[package].index(""), ""


@pytest.mark.parametrize("package", INSIDE)
def test_imports_within_a_package_go_down(package: str) -> None:
    prefix = f"datascaler.{package}."
    for path in SOURCE.joinpath(*package.split(".")).rglob("*.py"):
        if path.name == "__init__.py":
            continue
        own_level, own = level_inside(package, module_of(path))
        for name in imports_of(path):
            if name.startswith(prefix):
                level, other = level_inside(package, name)
                assert level < own_level or own == other, f"{module_of(path)} imports {name}"


def test_every_folder_of_a_package_has_its_place() -> None:
    for folder in SOURCE.glob("*/*/__init__.py"):
        assert folder.parent.parent.name in INSIDE, f"{folder.parent} has no place in INSIDE"


def test_no_folder_is_crowded() -> None:
    for folder in {path.parent for path in files()}:
        modules = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(modules) <= MAX_MODULES, f"{folder.relative_to(SOURCE)} has {len(modules)} modules"


@pytest.mark.parametrize("path", [path for path in files() if part_of(module_of(path)) in LIGHT], ids=module_of)
def test_what_help_loads_is_light(path: Path) -> None:
    for name in imports_of(path, top_only=True):
        if name.split(".")[0] == "datascaler":
            assert part_of(name) in LIGHT, f"{module_of(path)} imports {name} at the top"
        else:
            light = name.split(".")[0] in {"click", *STANDARD_LIBRARY}
            assert light, f"{module_of(path)} imports {name} at the top"


STANDARD_LIBRARY = {
    *(
        "collections",
        "contextlib",
        "copy",
        "dataclasses",
        "difflib",
        "fractions",
        "functools",
        "importlib",
        "itertools",
        "json",
        "math",
        "os",
        "re",
        "shlex",
    ),
    *("signal", "sys", "time", "types", "typing"),
}
"""Only its quick modules."""


def test_storage_is_the_only_home_of_fsspec() -> None:
    for path in files():
        for name in imports_of(path):
            if name.split(".")[0] in ("fsspec", "s3fs", "boto3", "botocore"):
                assert part_of(module_of(path)) == "storage", f"{module_of(path)} imports {name}"


def test_the_launcher_and_the_workers_do_not_know_each_other() -> None:
    for path in files():
        own = part_of(module_of(path))
        others = {part_of(name) for name in imports_of(path) if name.split(".")[0] == "datascaler"}
        assert not (own == "cluster" and others & (WORKERS | {"models", "demo", "report"})), module_of(path)
        assert not (own in WORKERS | {"models", "demo", "report"} and "cluster" in others), module_of(path)


def test_only_the_launcher_knows_kubernetes() -> None:
    for path in files():
        if "kubernetes" in {name.split(".")[0] for name in imports_of(path)}:
            assert part_of(module_of(path)) == "cluster", module_of(path)


def test_torch_lives_with_models_and_workers() -> None:
    for path in files():
        if {name.split(".")[0] for name in imports_of(path)} & {"torch", "open_clip", "torchvision"}:
            assert part_of(module_of(path)) in {"models", "demo"} | WORKERS, module_of(path)
