"""The public library: its names, what each example in their docstrings prints, and what importing and calling leave."""

import ast
import csv
import doctest
import logging
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from open_clip import factory

import datascaler
from datascaler.models.arch import register_configs
from tests.library_folder import make_library_folder
from tests.test_layers import SOURCE, files, imports_of, module_of

NAMES = {
    *("open_pool", "read_subset", "write_subset", "select_subset"),
    *("open_plan", "PlanDataset"),
    *("ScoreSpec", "score_pool", "score_images"),
    *("TrainSpec", "datacomp_recipe", "train_clip", "build_clip", "load_clip"),
    *("EvalSpec", "evaluate_clip", "compare_results", "forecast", "DatascalerError"),
}
HOMES: dict[str, str] = import_module("datascaler")._HOMES


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    # torch loads this when it is first needed, and that changes the filters of warnings and the environment.
    import_module("torch._dynamo")
    made = tmp_path_factory.mktemp("library")
    make_library_folder(made)
    yield made
    torch.set_num_threads(threads)


def test_its_names() -> None:
    assert set(HOMES) == NAMES
    assert set(import_module("datascaler").__all__) == {"__version__", *NAMES}
    packages = {path.parent.name for path in files() if path.name == "__init__.py"}
    assert not NAMES & packages


def test_type_checkers_see_each_name_where_it_is() -> None:
    stub = ast.parse((SOURCE / "__init__.pyi").read_text())
    seen = {alias.name: node.module for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen == HOMES
    assert (SOURCE / "py.typed").exists()


def test_a_name_brings_no_more_than_it_needs() -> None:
    code = """
import sys
import datascaler
assert {"torch", "numpy", "pyarrow", "fsspec", "click"}.isdisjoint(sys.modules)
assert set(datascaler.__all__) <= set(dir(datascaler))
assert not hasattr(datascaler, "no_such_name")
from datascaler import DatascalerError, EvalSpec, ScoreSpec, TrainSpec, datacomp_recipe
assert {"torch", "numpy", "pyarrow", "fsspec", "click"}.isdisjoint(sys.modules)
from datascaler import open_plan, open_pool, read_subset, select_subset, write_subset
assert {"torch", "open_clip", "click"}.isdisjoint(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_examples(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    names = {each: getattr(datascaler, each) for each in NAMES}
    text = names[name].__doc__
    example = doctest.DocTestParser().get_doctest(text, names, name, None, 0)
    assert example.examples, f"{name} has no example"
    said: list[str] = []
    before = host_state()
    doctest.DocTestRunner(verbose=False).run(example, out=said.append)
    assert not said, "".join(said)
    after = host_state()
    if name == "train_clip":  # torch's DataLoader draws a seed for its workers
        before.pop("seed"), after.pop("seed")
    assert after == before


def host_state() -> dict[str, Any]:
    """What belongs to the program that calls the library."""
    root = logging.getLogger()
    return {
        "threads": torch.get_num_threads(),
        "seed": torch.get_rng_state().tolist(),
        "default device and type": (torch.get_default_device(), torch.get_default_dtype()),
        "warnings": list(warnings.filters),
        "logging": (root.level, list(root.handlers), list(root.filters)),
        "csv": csv.field_size_limit(),
        "signals": {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)},
        "environment": dict(os.environ),
    }


def test_the_table_of_open_clip_stays_as_it_was(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_ours = {name: each for name, each in factory._MODEL_CONFIGS.items() if name != "ViT-Micro-12-48"}
    monkeypatch.setattr(factory, "_MODEL_CONFIGS", without_ours)
    monkeypatch.setattr(factory, "_MODEL_CONFIG_PATHS", list(factory._MODEL_CONFIG_PATHS))
    register_configs.cache_clear()
    datascaler.load_clip(f"local-dir:{folder}/model")
    assert factory._MODEL_CONFIGS is without_ours
    datascaler.build_clip("ViT-B-32", width_mult=Fraction(3, 16))
    assert "ViT-Micro-12-48" not in factory.list_models()
    datascaler.build_clip("ViT-Micro-12-48")
    assert "ViT-Micro-12-48" in factory.list_models()


def test_only_commands_decide_for_their_process_how_it_keeps_memory() -> None:
    callers = {module_of(path) for path in files() if "datascaler.models.freed_memory" in set(imports_of(path))}
    assert callers == {
        *("datascaler.cli.score.image", "datascaler.cli.evaluate", "datascaler.cli.train"),
        # Processes of their own.
        *("datascaler.demo.make_demo", "datascaler.score.device_processes"),
    }
