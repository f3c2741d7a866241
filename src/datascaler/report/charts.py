"""Kinds of figures: dots with intervals, curves, and bars. Colours are places of a palette that the page fills in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from datascaler.report.blocks import Bounds, Figure, plot_text

PALETTE = 7
"""The palette has so many colours: "@0" to "@6"."""
_MOST_IN_LEGEND = 10
_ROW_PIXELS, _DOT_PIXELS, _MARGIN_PIXELS = 14, 12, 110
_THIN, _THICK = 1.5, 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    label: str
    value: float
    inner: Bounds = None
    """Drawn thick: 80% of a forecast."""
    outer: Bounds = None
    """Drawn thin: 95%."""
    series: str = ""
    """Dots of a series have one colour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    label: str
    group: str
    """Curves of a group have one colour."""
    x: Sequence[float]
    y: Sequence[float]
    events: Sequence[tuple[float, str]] = ()
    """Places on the axis at which something happened, each with what it was."""


def dots(name: str, title: str, says: str, rows: Sequence[Dot], x_title: str, *, zero: bool = False) -> Figure:
    """A row a label from the top down, with a dot and its intervals for each series that has one there."""
    labels = list(dict.fromkeys(row.label for row in rows))
    series = list(dict.fromkeys(row.series for row in rows))
    step = 0.7 / len(series) if series else 0.0
    traces: list[dict[str, Any]] = []
    for number, each in enumerate(series):
        own = [row for row in rows if row.series == each]
        places = [labels.index(row.label) + (number - (len(series) - 1) / 2) * step for row in own]
        traces += _dots_of(each, own, places, f"@{number % PALETTE}")
    axis = {
        "tickvals": list(range(len(labels))),
        "ticktext": [plot_text(label) for label in labels],
        "range": [len(labels) - 0.5, -0.5],
    }
    across = {"title": {"text": plot_text(x_title)}, "zeroline": zero, "range": _around(rows, zero=zero)}
    return Figure(
        name=name,
        title=title,
        says=says,
        traces=traces,
        layout={"showlegend": len(series) > 1, "xaxis": across, "yaxis": axis, "hovermode": "closest"},
        height=_MARGIN_PIXELS + _ROW_PIXELS * len(labels) + _DOT_PIXELS * len(rows),
    )


def curves(
    name: str, title: str, says: str, rows: Sequence[Curve], x_title: str, y_title: str, **axes: Mapping[str, Any]
) -> Figure:
    """A line a row, in the colour of its group."""
    groups = list(dict.fromkeys(row.group for row in rows))
    in_legend: set[str] = set()
    traces = []
    for row in rows:
        colour = f"@{groups.index(row.group) % PALETTE}"
        label = row.label if len(rows) <= _MOST_IN_LEGEND else row.group
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers" if len(row.x) <= 12 else "lines",
                "name": plot_text(label),
                "legendgroup": plot_text(row.group),
                "showlegend": label not in in_legend and len(groups) <= _MOST_IN_LEGEND,
                "x": list(row.x),
                "y": list(row.y),
                "line": {"color": colour, "width": 2 if len(rows) <= _MOST_IN_LEGEND else 1.2},
                "marker": {"color": colour},
                "meta": plot_text(row.label),
                "hovertemplate": "%{meta}<br>%{x:.4s}: %{y:.4g}<extra></extra>",
            }
        )
        in_legend.add(label)
    traces += [_events_of(row, f"@{groups.index(row.group) % PALETTE}") for row in rows if row.events]
    layout: dict[str, Any] = {
        "xaxis": {"title": {"text": plot_text(x_title)}, **axes.get("x", {})},
        "yaxis": {"title": {"text": plot_text(y_title)}, **axes.get("y", {})},
        "hovermode": "closest",
    }
    if places := sorted({place for row in rows for place, _ in row.events}):
        layout["shapes"] = [_tick(place) for place in places]
    return Figure(name=name, title=title, says=says, traces=traces, layout=layout)


def stacked_bars(
    name: str, title: str, says: str, edges: Sequence[float], parts: Mapping[str, Sequence[int]], x_title: str
) -> Figure:
    """A histogram: bars between the edges, of the parts on top of one another."""
    middles = [(low + high) / 2 for low, high in pairwise(edges)]
    widths = [high - low for low, high in pairwise(edges)]
    traces = [
        {
            "type": "bar",
            "name": plot_text(part),
            "x": middles,
            "y": list(counts),
            "width": widths,
            "marker": {"color": f"@{number % PALETTE}", "line": {"width": 0}},
            "hovertemplate": "%{x:.4g}: %{y:,} rows<extra>%{fullData.name}</extra>",
        }
        for number, (part, counts) in enumerate(parts.items())
    ]
    layout = {
        "barmode": "stack",
        "bargap": 0,
        "xaxis": {"title": {"text": plot_text(x_title)}},
        "yaxis": {"title": {"text": "rows"}},
        "showlegend": len(parts) > 1,
    }
    return Figure(name=name, title=title, says=says, traces=traces, layout=layout)


def _dots_of(series: str, rows: Sequence[Dot], places: Sequence[float], colour: str) -> list[dict[str, Any]]:
    """The lines of the intervals first, so that the dots lie on them."""
    traces = [
        _interval_lines([row.outer for row in rows], places, colour, _THIN),
        _interval_lines([row.inner for row in rows], places, colour, _THICK),
        {
            "type": "scatter",
            "mode": "markers",
            "name": plot_text(series),
            "x": [row.value for row in rows],
            "y": list(places),
            "marker": {"size": 10, "color": colour, "line": {"width": 1.5, "color": "@paper"}},
            "text": [plot_text(_told(row)) for row in rows],
            "hovertemplate": "%{text}<extra></extra>",
        },
    ]
    return [trace for trace in traces if trace["x"]]


def _events_of(row: Curve, colour: str) -> dict[str, Any]:
    """Open diamonds on the curve, above the ticks of the axis, which answer to the pointer."""
    heights = np.interp([place for place, _ in row.events], row.x, row.y)
    return {
        "type": "scatter",
        "mode": "markers",
        "name": plot_text(row.label),
        "showlegend": False,
        "x": [place for place, _ in row.events],
        "y": [float(f"{each:.6g}") for each in heights],
        "marker": {"size": 9, "symbol": "diamond-open", "color": colour, "line": {"width": 2}},
        "text": [plot_text(f"{what}: {row.label}") for _, what in row.events],
        "hovertemplate": "%{text}<extra></extra>",
    }


def _tick(place: float) -> dict[str, Any]:
    """A mark on the axis."""
    line = {"color": "@muted", "width": 2}
    return {"type": "line", "yref": "paper", "x0": place, "x1": place, "y0": 0, "y1": 0.06, "line": line}


def _interval_lines(intervals: Sequence[Bounds], places: Sequence[float], colour: str, width: float) -> dict[str, Any]:
    """One trace for all rows: a gap is a None."""
    x: list[float | None] = []
    y: list[float | None] = []
    for place, interval in zip(places, intervals, strict=True):
        if interval is not None:
            x += [*interval, None]
            y += [place, place, None]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "interval",
        "showlegend": False,
        "x": x,
        "y": y,
        "line": {"color": colour, "width": width},
        "opacity": 0.55,
        "hoverinfo": "skip",
    }


def _around(rows: Sequence[Dot], *, zero: bool) -> list[float]:
    """The range of an axis that has every dot and interval well inside."""
    ends = [0.0] if zero else []
    ends += [end for row in rows for end in (row.value, *(row.outer or ()), *(row.inner or ()))]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    space = 0.06 * (high - low) or 0.01
    return [low - space, high + space]


def _told(row: Dot) -> str:
    widest = row.outer or row.inner
    interval = f" ({widest[0]:.3f} to {widest[1]:.3f})" if widest else ""
    return f"{row.series or row.label}: {row.value:.4g}{interval}"
