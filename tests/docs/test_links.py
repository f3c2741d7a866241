"""What the pages point at exists: other pages, their headings, and files of this repository."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import LOG, PAGES, ROOT, prose

SOURCE = ROOT / "src" / "datascaler"
_TOPS = {path.name for path in ROOT.iterdir() if path.is_dir()}
_PACKAGES = {path.name for path in SOURCE.iterdir() if path.is_dir()}
_NAMES = {path.name for top in ("src", "tests", "benchmarks", "scripts", "docs") for path in (ROOT / top).rglob("*.py")}


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if target.startswith(("https://", "http://")):
            continue
        path, _, heading = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        if heading:
            assert heading in _headings(file), target


@pytest.mark.parametrize("page", [page for page in PAGES if page != LOG], ids=_name)
def test_files_that_are_named(page: Path) -> None:
    """`data/plan/plan.py` is below src/datascaler, `scripts/check` below the root; a bare `stop.py` is somewhere."""
    for name in re.findall(r"`([\w.-]+(?:/[\w.-]+)*)`", prose(page)):
        top = name.split("/")[0]
        if "/" not in name:
            assert not name.endswith(".py") or name in _NAMES, name
        elif top in _PACKAGES and not (ROOT / name).exists():
            assert (SOURCE / name).exists(), name
        elif top in _TOPS:
            assert (ROOT / name).exists(), name


def _headings(page: Path) -> set[str]:
    """The anchors of a page, as GitHub and the site make them."""
    titles = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
