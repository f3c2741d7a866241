"""A comparison as a picture: each difference from the first result with its interval, averages above tasks."""

import io
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from datascaler.errors import ConfigError
from datascaler.evaluate.compare_results import ComparedScores, Comparison

_INK, _MUTED, _GRID = "#1f2430", "#5b6472", "#e3e6eb"
# Okabe and Ito's palette: distinct under every common kind of colour blindness.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_WITHOUT_DATE: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
_ROW_INCHES, _MARGIN_INCHES, _WIDTH_INCHES = 0.22, 1.3, 9.0


def draw_comparison(comparison: Comparison, suffix: str) -> bytes:
    """The file's bytes. Rows without a difference are left out."""
    rows = [
        row for row in (*comparison.averages, *comparison.tasks) if any(each is not None for each in row.differences)
    ]
    if not rows:
        raise ConfigError("there is nothing to draw: no task has a score of every result")
    figure = Figure(figsize=(_WIDTH_INCHES, _MARGIN_INCHES + _ROW_INCHES * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    others = comparison.results[1:]
    for number, name in enumerate(others, 1):
        _draw_result(axes, rows, number, name, offset=(number - (len(others) + 1) / 2) * 0.6 / len(others))
    axes.axvline(0, color=_INK, linewidth=1)
    averages = sum(row in comparison.averages for row in rows)
    axes.axhline(averages - 0.5, color=_MUTED, linewidth=0.8, linestyle=":")
    axes.set_yticks(range(len(rows)), [_label(row) for row in rows], fontsize=8)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(axis="x", color=_GRID)
    axes.set_axisbelow(True)
    axes.set_xlabel(f"difference from {comparison.results[0]}, with 95% intervals over samples")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=1, frameon=False, fontsize=8)
    file = io.BytesIO()
    # Without a date and drawn names: the same comparison is the same file.
    with rc_context({"svg.hashsalt": "datascaler"}):
        figure.savefig(file, format=suffix, dpi=110, metadata=_WITHOUT_DATE.get(suffix))
    return file.getvalue()


def _draw_result(axes: Axes, rows: list[ComparedScores], number: int, name: str, offset: float) -> None:
    colour = _COLOURS[(number - 1) % len(_COLOURS)]
    for place, row in enumerate(rows):
        difference, interval = row.differences[number], row.intervals[number]
        if difference is None:
            continue
        if interval is not None:
            axes.plot(interval, [place + offset] * 2, color=colour, linewidth=1.8, alpha=0.7)
        axes.plot([difference], [place + offset], marker="o", markersize=4, color=colour)
    axes.plot([], [], marker="o", color=colour, label=name)


def _label(row: ComparedScores) -> str:
    return f"{row.name} ({row.scored} of {row.tasks})" if row.tasks > 1 else row.name
