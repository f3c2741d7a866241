"""Where the Helm charts are: inside the installed package, or in the checkout."""

from pathlib import Path

RUN_CHART = "datascaler-run"
_PACKAGE = Path(__file__).parent.parent


def chart_folder(name: str) -> Path:
    installed = _PACKAGE / "charts" / name
    return installed if installed.is_dir() else _PACKAGE.parent.parent / "charts" / name
