"""Every picture is a PNG of its stated size, draws the same bytes twice and leaves pyplot alone."""

import io
import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from datascaler.demo.charts import (
    BARS_HEIGHT,
    HEIGHT,
    WIDTH,
    accuracy_bars,
    filter_curves,
    score_histogram,
)
from datascaler.demo.contact_sheet import ScoredPair, contact_sheet
from datascaler.demo.pairs import DrawnPair, PairKind, draw_pool


@pytest.fixture(scope="module")
def pool() -> list[DrawnPair]:
    return list(draw_pool(100, seed=0))


def _scores(pool: list[DrawnPair]) -> NDArray[np.float64]:
    rng = np.random.default_rng(0)
    means = {PairKind.CLEAN: 0.6, PairKind.BROKEN: np.nan}
    return np.array([rng.normal(means.get(pair.kind, 0.1), 0.15) for pair in pool])


def _clean(pool: list[DrawnPair]) -> NDArray[np.bool_]:
    return np.array([pair.kind == PairKind.CLEAN for pair in pool])


def _picture(png: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(png))
    picture.load()
    assert picture.format == "PNG"
    return picture


def test_histogram(pool: list[DrawnPair]) -> None:
    png = score_histogram(_scores(pool), [pair.kind for pair in pool], threshold=0.35)
    assert _picture(png).size == (WIDTH, HEIGHT)
    assert score_histogram(_scores(pool), [pair.kind for pair in pool], threshold=0.35) == png


def test_histogram_of_one_value() -> None:
    png = score_histogram(np.full(3, 0.2), [PairKind.CLEAN] * 3, threshold=0.2)
    assert _picture(png).size == (WIDTH, HEIGHT)


def test_filter_curves(pool: list[DrawnPair]) -> None:
    assert _picture(filter_curves(_scores(pool), _clean(pool), kept_fraction=0.4)).size == (WIDTH, HEIGHT)


@pytest.mark.parametrize(
    "accuracies", [{"subset": [0.5, 0.6], "random": [0.2, 0.1]}, {"subset": [1.0, 0.97]}, {"subset": [0.0]}]
)
def test_accuracy_bars(accuracies: dict[str, list[float]]) -> None:
    assert _picture(accuracy_bars(accuracies, chance=1 / 48)).size == (WIDTH, BARS_HEIGHT)


def test_contact_sheet_shows_the_pictures(pool: list[DrawnPair]) -> None:
    scored = [ScoredPair(pair.image_bytes, pair.caption, pair.kind, 0.5) for pair in pool]
    one_row = _picture(contact_sheet(scored[:8], scored[-8:]))
    two_rows = _picture(contact_sheet(scored[:16], scored[-8:]))
    assert one_row.width == two_rows.width == WIDTH
    assert two_rows.height > one_row.height
    assert len(one_row.convert("RGB").getcolors(maxcolors=1_000_000) or []) > 1000


def test_contact_sheet_takes_broken_files_and_endless_words() -> None:
    pair = ScoredPair(b"", "w" * 500 + " and so on " * 20, PairKind.BROKEN, float("nan"))
    assert _picture(contact_sheet([pair], [pair])).width == WIDTH


def test_pyplot_is_not_loaded() -> None:
    code = "import sys, datascaler.demo.charts; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
