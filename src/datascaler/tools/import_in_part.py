"""Importing a module without the bodies of large packages that it touches for a name or two.

`import torchvision.ops.misc` runs `torchvision/__init__.py` first, which imports all that torchvision has. Here a part
is imported under an empty package of that name, which is then taken away, as Python itself does where a package's
import fails. Whoever imports the package afterwards gets all of it by the ordinary import, with the very parts that are
loaded already, and whoever holds the empty one is passed on to the whole one. No class exists twice.
"""

import importlib
import sys
import threading
from collections.abc import Collection, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

_one_at_a_time = threading.RLock()


def import_in_part(name: str, bodiless: Collection[str], only_called: Collection[str] = ()) -> ModuleType:
    """Import `name` and what it imports, with `bodiless` packages and `only_called` modules left out.

    Of a bodiless package only the submodules are loaded that are asked for. What is taken from an `only_called` module
    is a function that imports it when it is called. What is loaded already stays as it is. Where the import fails, or
    asks for a name of a package that has no body, the ordinary import is made from the start.
    """
    with _one_at_a_time:
        before = set(sys.modules)
        finder = _Finder(set(bodiless) - before, set(only_called) - before)
        sys.meta_path.insert(0, finder)
        try:
            module = importlib.import_module(name)
        except Exception:
            finder.missed.append(name)
        finally:
            finder.take_away()
        if finder.missed:
            sys.meta_path.remove(finder)
            roots = {each.partition(".")[0] for each in (name, *bodiless, *only_called)}
            for each in sys.modules.keys() - before:
                if each.partition(".")[0] in roots:
                    del sys.modules[each]
            module = importlib.import_module(name)
        return module


class _Finder(MetaPathFinder):
    """Finds empty packages while the part is imported, and afterwards whole ones."""

    def __init__(self, bodiless: Collection[str], only_called: Collection[str]) -> None:
        self._bodiless, self._only_called = bodiless, only_called
        self._empty: dict[str, ModuleType] | None = {}
        self.missed: list[str] = []

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in self._bodiless and name not in self._only_called:
            return None
        found = PathFinder.find_spec(name, path, target)
        if found and type(found.loader) is SourceFileLoader:
            whole = _WholeLoader(found.loader.name, found.loader.path)
            found.loader = whole if self._empty is None else _EmptyLoader(whole.name, whole.path, self)
        return found

    def take_away(self) -> None:
        empty, self._empty = self._empty or {}, None
        for name, module in empty.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]

    def fill(self, module: ModuleType) -> None:
        """Give an empty module the one function that Python calls for names that are not there."""
        assert self._empty is not None
        name = module.__name__
        self._empty[name] = module

        def name_in(attribute: str) -> Any:
            with _one_at_a_time:  # another thread comes here when the import is over
                if self._empty is None:
                    return getattr(importlib.import_module(name), attribute)
                if name in self._only_called and not attribute.startswith("__"):
                    return _Called(name, attribute)
                if not attribute.startswith("__") or attribute == "__all__":
                    self.missed.append(f"{name}.{attribute}")
                raise AttributeError(f"module {name!r} has no attribute {attribute!r} yet")

        vars(module)["__getattr__"] = name_in


class _EmptyLoader(SourceFileLoader):
    def __init__(self, name: str, path: str, finder: _Finder) -> None:
        super().__init__(name, path)
        self._finder = finder

    def exec_module(self, module: ModuleType) -> None:
        self._finder.fill(module)


class _WholeLoader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        """Run the body, with the parts that are loaded as attributes, as if it had imported them itself."""
        for name, part in list(sys.modules.items()):
            parent, _, last = name.rpartition(".")
            if parent == module.__name__:
                setattr(module, last, part)
        super().exec_module(module)


class _Called:
    """A function of a module that is imported when it is called."""

    def __init__(self, module: str, name: str) -> None:
        self._module, self.__name__ = module, name

    def __call__(self, *values: Any, **named: Any) -> Any:
        return getattr(importlib.import_module(self._module), self.__name__)(*values, **named)
