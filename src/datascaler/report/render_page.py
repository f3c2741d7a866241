"""Sections -> one HTML file that asks for nothing else.

Texts of others can do nothing there: all are escaped; and only the page's own two scripts may run, by their hashes in
its Content-Security-Policy, which also forbids every request.
"""

import json
import re
from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from importlib.resources import files
from typing import Any

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup, escape

from datascaler.report.blocks import Cell, Figure, Section, page_text

_LONGEST = 20_000
"""Letters of any text, whatever it is."""
_VERSION = re.compile(r"v(\d+\.\d+\.\d+)")


def render_page(title: str, subtitle: str, footer: str, sections: Sequence[Section]) -> str:
    """The page's text."""
    plotly, script = _file("plotly-basic.min.js"), _file("page.js")
    version = _VERSION.search(plotly[:500])
    assert version is not None, "the library says its version first"
    page: str = _template().render(
        title=title,
        subtitle=subtitle,
        footer=footer,
        sections=sections,
        style=Markup(_file("page.css")),
        figures=Markup(_figures_json(sections)),
        plotly=Markup(plotly),
        script=Markup(script),
        script_hashes=Markup(f"{_hash_of(plotly)} {_hash_of(script)}"),
        plotly_version=version[1],
    )
    return page


def _template() -> Any:
    environment = Environment(
        loader=DictLoader({"page.html": _file("page.html")}),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=_safe,
    )
    environment.filters["raw"] = _raw
    return environment.get_template("page.html")


def _safe(value: object) -> object:
    """Each text that is put into the page, but for the page's own parts."""
    return page_text(value, _LONGEST) if isinstance(value, str) and not isinstance(value, Markup) else value


def _raw(cell: Cell) -> Markup:
    """The attribute of a cell with what a program reads, where that is another than its text; and its class."""
    if cell.value is None:
        return Markup(' class="text"')
    value = page_text(cell.value, _LONGEST) if isinstance(cell.value, str) else repr(cell.value)
    return Markup(f' data-value="{escape(value)}"')


def _figures_json(sections: Sequence[Section]) -> str:
    """Figures by name, in letters that can't end the element they stand in."""
    found = {
        block.name: {"traces": block.traces, "layout": block.layout, "height": block.height}
        for section in sections
        for block in section.blocks
        if isinstance(block, Figure)
    }
    text = json.dumps(found, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _hash_of(script: str) -> str:
    return f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'"


def _file(name: str) -> str:
    return files("datascaler.report").joinpath("templates", name).read_text("utf-8")
