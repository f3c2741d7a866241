"""Choose the part of an image-text pool to train CLIP on, and find out how it will do at full size."""

from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "PlanDataset": "datascaler.train.loading.plan_dataset",
}
"""What the package offers to other programs, and where it is. Imported when it is asked for: torch takes seconds."""

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
