"""The page around its sections, and the library that draws its figures."""

import json
from hashlib import sha256
from importlib.resources import files

import pytest

from datascaler.report.blocks import (
    Cell,
    Figure,
    PageBlock,
    Section,
    Table,
    Text,
    difference,
    number,
    page_text,
    plot_text,
    share,
)
from datascaler.report.charts import Curve, Dot, curves, dots
from datascaler.report.render_page import render_page

PLOTLY = "99784e3abfb07b142a15e521a439e6d9addceadb3f79553fd24c72774f0649ba"
"""The digest of plotly-basic.min.js in npm's package plotly.js-basic-dist-min 4.1.1."""


def test_the_library_is_the_one_that_was_published() -> None:
    folder = files("datascaler.report").joinpath("templates")
    content = folder.joinpath("plotly-basic.min.js").read_bytes()
    assert sha256(content).hexdigest() == PLOTLY
    # It stands in an element of its own, under a policy that makes no code of strings.
    for text in (b"</script", b"<!--", b"new Function(", b"eval("):
        assert text not in content
    assert "MIT License" in folder.joinpath("plotly-LICENSE.txt").read_text()


def test_a_text_of_others_is_short_and_without_controls() -> None:
    assert page_text("a\x00b\u202ec") == "a\\x00b\\u202ec"
    assert page_text("y" * 301) == "y" * 300 + "… (301 letters)"
    assert page_text("s3://key:secret@host/x") == "s3://***@host/x"
    assert plot_text("<b>bold</b> & " + "z" * 60).startswith("&lt;b&gt;bold&lt;/b&gt; &amp; z")


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (number(1234567), Cell("1,234,567", 1234567)),
        (number(0.000123456), Cell("0.0001235", 0.000123456)),
        (share(0.25, (0.2, 0.3)), Cell("0.250 (0.200 to 0.300)", 0.25)),
        (share(None), Cell("-", "")),
        (difference(0.01, (0.005, 0.015)), Cell("+0.010 (+0.005 to +0.015) *", 0.01)),
        (difference(-0.01, (-0.02, 0.01)), Cell("-0.010 (-0.020 to +0.010)", -0.01)),
    ],
)
def test_numbers_as_people_and_programs_read_them(cell: Cell, expected: Cell) -> None:
    assert cell == expected


def test_figures_can_not_end_their_element() -> None:
    figure = curves("f", "t", "s", [Curve(label="</script><script>", group="&", x=[1], y=[2])], "x", "</script>")
    page = render_page("t", "s", "f", [Section(name="n", title="t", blocks=[figure])])
    assert page.count("</script>") == 3
    data = page.partition('id="figures">')[2].partition("</script>")[0]
    assert json.loads(data)["f"]["traces"][0]["y"] == [2]


def test_an_axis_has_every_interval_inside() -> None:
    made = dots("f", "t", "s", [Dot(label="a", value=0.5, outer=(0.1, 0.9))], "x")
    low, high = made.layout["xaxis"]["range"]
    assert low < 0.1
    assert high > 0.9
    assert dots("f", "t", "s", [], "x").traces == []


def test_what_is_not_finite_is_a_bug() -> None:
    figure = Figure(name="f", title="t", says="s", traces=[{"x": [float("nan")]}])
    with pytest.raises(ValueError, match="Out of range float"):
        render_page("t", "s", "f", [Section(name="n", title="t", blocks=[figure])])


def test_a_cell_keeps_the_number_that_it_shows_in_short() -> None:
    rows = [[Cell("a<b"), number(1 / 3)]]
    blocks: list[PageBlock] = [Text(text="one < two"), Table(name="t", title="T", columns=["n", "v"], rows=rows)]
    page = render_page("t", "s", "f", [Section(name="n", title="t", blocks=blocks)])
    assert "<bdi>a&lt;b</bdi>" in page
    assert 'data-value="0.3333333333333333"' in page
    assert "one &lt; two" in page
