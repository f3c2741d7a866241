"""Parts of packages come without the rest, and whoever asks for the rest finds it whole."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from types import ModuleType
from typing import Any

import pytest

from datascaler.tools.import_in_part import import_in_part

FILES = {
    "bulky/__init__.py": "from . import part, other\nfrom .deep import leaf\nversion = 7\n__version__ = '1.2'\n",
    "bulky/part.py": "from caller.inner import triple\nimport caller\ndef double(x): return 2 * x\nclass Kept: pass\n",
    "bulky/other.py": "from .part import Kept\nclass Other(Kept): pass\n",
    "bulky/deep/__init__.py": "from .leaf import leaf\nfrom bulky.other import Other\n",
    "bulky/deep/leaf.py": "def leaf(): return 'leaf'\n",
    "bulky/greedy.py": "try:\n    from . import version\nexcept ImportError:\n    version = None\n",
    "bulky/starred.py": "from bulky.deep import *\n",
    "bulky/slow.py": "import started_and_waits\n",
    "caller/__init__.py": "made = []\ndef twice(x): return 2 * x\n",
    "caller/inner.py": "import caller\ncaller.made.append('inner')\ndef triple(x): return 3 * x\n",
}
ROOTS = ("bulky", "caller", "started_and_waits")
EMPTY, CALLED = ("bulky", "bulky.deep"), ("caller", "caller.inner", "nowhere")


@pytest.fixture(autouse=True)
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    finders = list(sys.meta_path)
    yield
    sys.meta_path[:] = finders
    for name in [name for name in sys.modules if name.partition(".")[0] in ROOTS]:
        del sys.modules[name]


def in_part(name: str = "bulky.part") -> Any:
    return import_in_part(name, EMPTY, CALLED)


def loaded() -> set[str]:
    return {name for name in sys.modules if name.partition(".")[0] in ROOTS}


def test_a_part_comes_without_its_package() -> None:
    assert in_part().double(2) == 4
    assert loaded() == {"bulky.part"}


def test_the_whole_package_has_everything_and_nothing_twice() -> None:
    kept = in_part().Kept
    bulky: Any = importlib.import_module("bulky")
    assert (bulky.version, bulky.__version__, bulky.part.Kept, bulky.other.Other.__base__) == (7, "1.2", kept, kept)
    assert (bulky.deep.leaf(), sys.modules["bulky.deep.leaf"].leaf) == ("leaf", bulky.deep.leaf)
    assert bulky.__loader__.get_filename() == bulky.__file__
    assert type(bulky) is ModuleType


def test_importing_another_part_brings_the_package_first() -> None:
    kept = in_part().Kept
    other: Any = importlib.import_module("bulky.other")
    bulky: Any = sys.modules["bulky"]
    assert (bulky.version, bulky.other, other.Kept, bulky.part.Kept) == (7, other, kept, kept)


def test_what_is_called_is_imported_then() -> None:
    part = in_part()
    assert "caller" not in sys.modules
    assert part.triple(3) == 9
    assert part.caller.twice(4) == 8
    assert part.caller.made == sys.modules["caller"].made == ["inner"]


@pytest.mark.parametrize("name", ["bulky.greedy", "bulky.starred"])
def test_a_name_of_the_body_makes_the_import_an_ordinary_one(name: str) -> None:
    """Even where the library would take an ImportError for a package that is not installed."""
    module = in_part(name)
    assert getattr(module, "version", 7) == 7
    assert loaded() >= {"bulky", "bulky.deep", "bulky.other", "caller.inner"}
    assert sys.modules["bulky"].part.triple is sys.modules["caller.inner"].triple


def test_an_import_that_fails_says_what_the_ordinary_one_says() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'bulky\.missing'"):
        in_part("bulky.missing")
    assert sys.modules["bulky"].version == 7


def test_what_is_loaded_stays_as_it_is() -> None:
    whole, inner = importlib.import_module("bulky"), importlib.import_module("caller.inner")
    assert in_part() is sys.modules["bulky.part"]
    assert sys.modules["bulky"] is whole
    assert sys.modules["bulky.part"].triple is inner.triple


def test_a_library_that_is_not_installed_is_missing(tmp_path: Path) -> None:
    (tmp_path / "bulky" / "part.py").write_text(
        "try:\n    from nowhere import name\nexcept ImportError:\n    name = None\n"
    )
    assert in_part().name is None


def test_another_thread_waits_and_gets_the_whole_package(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, asked, found = Event(), Event(), []

    class Waits:
        """Stands for a module that takes its time to import."""

        @staticmethod
        def find_spec(name: str, *_: object) -> None:
            if name == "started_and_waits":
                begun.set()
                asked.wait(10)

    def other() -> None:
        begun.wait(10)
        bulky: Any = importlib.import_module("bulky")
        asked.set()
        found.append(bulky.version)

    monkeypatch.setattr(sys, "meta_path", [Waits, *sys.meta_path])
    thread = Thread(target=other)
    thread.start()
    with pytest.raises(ModuleNotFoundError, match="started_and_waits"):
        in_part("bulky.slow")
    thread.join(10)
    assert found == [7]
