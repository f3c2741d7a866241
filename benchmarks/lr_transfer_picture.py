"""The picture of lr_transfer: loss over learning rate, a curve a width, a panel a kind of run."""

import io
from collections.abc import Mapping, Sequence
from math import log2

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from datascaler.data.runs.sweep_results import SweepResult

_TITLES = {"standard": "standard", "mup": "muP", "mup_shorter": "muP, a quarter of the samples, tau held"}


def draw(tables: Mapping[tuple[str, int], SweepResult], kinds: Sequence[str]) -> bytes:
    """A PNG. The fitted optimum of each curve is a star; bars are the deviation of a seed."""
    figure = Figure(figsize=(4 * len(kinds), 4), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
    widths = sorted({width for _, width in tables})
    for axes, kind in zip(panels, kinds, strict=True):
        for number, width in enumerate(widths):
            result = tables[kind, width]
            losses = sorted((log2(each.setting.lr), each.mean, each.deviation or 0.0) for each in result.settings)
            x, y, spread = zip(*losses, strict=True)
            shade = (
                0.75 - 0.75 * number / len(widths),
                0.8 - 0.55 * number / len(widths),
                0.95 - 0.3 * number / len(widths),
            )
            axes.errorbar(x, y, spread, marker="o", markersize=4, color=shade, label=f"width x {width}")
            if optimum := result.optimum:
                axes.plot(log2(optimum.lr), optimum.loss, "*", markersize=13, color=shade)
        axes.set(title=_TITLES[kind], xlabel="log2 of the learning rate")
    panels[0].set_ylabel("loss, over the last 5% of the samples")
    panels[0].legend()
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()
