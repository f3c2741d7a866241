"""The demo's charts as PNG bytes: what the filter saw, how good it is, and what it was worth."""

import io
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from datascaler.demo.filter_quality import Scores, filter_curve, roc_auc
from datascaler.demo.pairs import PairKind

WIDTH, HEIGHT, BARS_HEIGHT = 1000, 560, 360
"""Pixels of a chart; the bars need less height."""
_DPI = 100

INK, MUTED, GRID = "#1f2430", "#5b6472", "#e3e6eb"
# Okabe and Ito's palette: distinct under every common kind of colour blindness.
GOOD, BAD = "#0072b2", "#d55e00"
KIND_COLOURS = {
    PairKind.CLEAN: GOOD,
    PairKind.MISMATCHED: BAD,
    PairKind.JUNK: "#e69f00",
    PairKind.RENDERED: "#cc79a7",
    PairKind.BROKEN: "#8a8f98",
}


def score_histogram(scores: Scores, kinds: Sequence[PairKind], threshold: float) -> bytes:
    """Scores stacked by what each pair really is, and the line that the subset was cut at."""
    figure, axes = _new("What the filter saw: scores by true kind")
    good = np.isfinite(scores)
    edges = np.linspace(float(scores[good].min()), float(scores[good].max()), 61)
    is_kind = {kind: np.array([k == kind for k in kinds], dtype=np.bool_) for kind in PairKind}
    # The clean pairs stand on the axis, so that their outline can be read directly.
    drawn = [kind for kind in PairKind if (is_kind[kind] & good).any()]
    axes.hist(
        [scores[is_kind[kind] & good] for kind in drawn],
        bins=list(edges),
        stacked=True,
        color=[KIND_COLOURS[kind] for kind in drawn],
        label=[f"{kind} ({is_kind[kind].sum()})" for kind in drawn],
        edgecolor="white",
        linewidth=0.4,
    )
    unscored = int((~good).sum())
    if unscored:
        axes.plot([], [], " ", label=f"without a score ({unscored}), never kept")
    axes.axvline(threshold, ymax=0.8, color=INK, linewidth=1.6, linestyle="--")
    kept = int((scores[good] >= threshold).sum())
    # On the side of the line that has room for it.
    is_right = threshold > (edges[0] + edges[-1]) / 2
    axes.annotate(
        f"kept: {kept} of {len(scores)} →",
        (threshold, 0.79),
        xycoords=("data", "axes fraction"),
        xytext=(-8 if is_right else 8, 0),
        textcoords="offset points",
        ha="right" if is_right else "left",
        va="top",
        color=INK,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 2},
    )
    axes.set_xlabel("score (cosine of picture and caption)")
    axes.set_ylabel("pairs")
    # The legend stands above the bars, wherever the filter puts them.
    axes.set_ylim(0, axes.get_ylim()[1] * 1.25)
    axes.legend(loc="upper left", frameon=False, ncols=3, columnspacing=1.6, handlelength=1.2)
    return _png(figure)


def filter_curves(scores: Scores, clean: NDArray[np.bool_], kept_fraction: float) -> bytes:
    """Precision and recall over the kept fraction, with the fraction that the subset took."""
    figure, axes = _new(f"How good the filter is: ROC AUC {roc_auc(scores, clean):.3f}")
    curve = filter_curve(scores, clean)
    fraction = curve.kept / len(scores)
    axes.plot(fraction, curve.precision, color=GOOD, linewidth=2.4, label="precision: clean share of what is kept")
    axes.plot(fraction, curve.recall, color=BAD, linewidth=2.4, label="recall: kept share of what is clean")
    share = float(clean.mean())
    axes.axhline(share, color=MUTED, linewidth=1.2, linestyle=":", label=f"clean share of the pool: {share:.0%}")
    axes.axvline(kept_fraction, color=INK, linewidth=1.6, linestyle="--")
    at = int(np.searchsorted(curve.kept, kept_fraction * len(scores)))
    at = min(at, len(curve.kept) - 1)
    for values, colour in ((curve.precision, GOOD), (curve.recall, BAD)):
        axes.plot(fraction[at], values[at], "o", color=colour, markersize=8, markeredgecolor="white")
    axes.annotate(
        f"top {kept_fraction:.0%} kept\nprecision {curve.precision[at]:.1%}\nrecall {curve.recall[at]:.1%}",
        (kept_fraction, 0.2),
        xytext=(10, 0),
        textcoords="offset points",
        size=13,
        color=INK,
    )
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.04)
    axes.set_xlabel("fraction of the pool that is kept, best scores first")
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.legend(loc="lower right", frameon=False)
    return _png(figure)


def accuracy_bars(accuracies: Mapping[str, Sequence[float]], chance: float) -> bytes:
    """Mean zero-shot accuracy of each arm (name -> one value a seed), the seeds as dots."""
    figure, axes = _new("What it is worth: zero-shot accuracy at equal samples seen", BARS_HEIGHT)
    top = max(max(values) for values in accuracies.values())
    for place, (name, values) in enumerate(accuracies.items()):
        mean = float(np.mean(values))
        axes.barh(place, mean, height=0.56, color=(GOOD, "#9aa1ac")[min(place, 1)], label=name)
        jitter = np.linspace(-0.1, 0.1, len(values)) if len(values) > 1 else np.zeros(1)
        axes.plot(values, place + jitter, "o", color=INK, markersize=8, markeredgecolor="white", markeredgewidth=1.2)
        axes.annotate(
            f"{mean:.1%}",
            (max(values), place),
            xytext=(14, 0),
            textcoords="offset points",
            va="center",
            size=15,
            weight="bold",
            color=INK,
        )
    axes.axvline(chance, color=INK, linewidth=1.6, linestyle="--")
    axes.annotate(
        f"chance {chance:.1%}",
        (chance, 1),
        xycoords=("data", "axes fraction"),
        xytext=(6, -4),
        textcoords="offset points",
        va="top",
        color=INK,
    )
    axes.set_yticks(range(len(accuracies)), list(accuracies), size=13, color=INK)
    axes.set_ylim(len(accuracies) - 0.45, -0.75)
    # Room for the number after the longest bar, but no tick past 100%.
    right = max(top, chance) * 1.2
    axes.set_xlim(0, right)
    axes.set_xticks(
        [tick for tick in MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(0, right) if tick <= min(1, right)]
    )
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel("top-1 accuracy; each dot is a seed")
    axes.grid(visible=False, axis="y")
    return _png(figure)


def _new(title: str, height: int = HEIGHT) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH / _DPI, height / _DPI), dpi=_DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", size=16, weight="bold", color=INK, pad=14)
    axes.grid(color=GRID, linewidth=1)
    axes.set_axisbelow(True)
    axes.tick_params(colors=MUTED, length=0, labelsize=12)
    axes.xaxis.label.set(color=MUTED, size=13)
    axes.yaxis.label.set(color=MUTED, size=13)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(MUTED)
    return figure, axes


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
