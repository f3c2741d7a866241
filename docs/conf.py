"""Sphinx builds these pages into a site, offline: `make docs`. The reference is generated from the code."""

import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from generate import write_reference
from sphinx.application import Sphinx

project = "datascaler"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
default_role = "code"  # docstrings write `code` as Markdown does
exclude_patterns = ["build"]
html_theme = "furo"
html_title = "datascaler"
# An URL of a heading is what GitHub makes of it, so that the same links work there.
myst_heading_anchors = 4
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"

write_reference(Path(__file__).parent / "reference")


def to_the_sites_own_pages(_app: Sphinx, _name: str, source: list[str]) -> None:
    """Links to files outside docs/, as GitHub needs them, lead to the pages of the site that show these files."""
    for page in Path(__file__).parent.glob("elsewhere/*.md"):
        shown = page.read_text().split()[1].removeprefix("../")
        source[0] = source[0].replace(f"]({shown})", f"](elsewhere/{page.name})")


def keep_stars(_app: Sphinx, _what: str, _name: str, _value: Any, _options: Any, lines: list[str]) -> None:
    """A star in a docstring is a star, as in `vtab/*`, and begins no emphasis."""
    for number, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            lines[number] = re.sub(r"(`[^`]*`)|\*", lambda found: found[1] or r"\*", line)


def setup(app: Sphinx) -> None:
    app.connect("source-read", to_the_sites_own_pages)
    app.connect("autodoc-process-docstring", keep_stars, priority=400)  # before napoleon makes fields of `Args:`
