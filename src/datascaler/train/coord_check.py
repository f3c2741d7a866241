"""The coordinate check of muP (arXiv 2203.03466, appendix D.1) for CLIP, with the standard parametrisation beside it.

Under muP what a model computes is as large at every width, before and after steps; else it grows with width. That is
necessary and not sufficient: what a few steps can't show is in the tests of roles, init and optimizer groups.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from datascaler import storage
from datascaler.models.build import check_clip
from datascaler.models.device import choose_device
from datascaler.spec.coord_check import CoordCheckSpec
from datascaler.train.coord_measure import Coordinate, coordinates
from datascaler.train.coord_verdict import Verdict, judge, slopes_of

_TITLES = ("standard", "muP")


@dataclass(frozen=True, slots=True)
class CoordCheckResult:
    verdict: Verdict
    reasons: list[str]
    growth_of_standard: float
    """The exponent with which blocks grow under the standard parametrisation by step 2."""
    results: str
    """URL of all of it as JSON."""
    picture: str


def check_coordinates(spec: CoordCheckSpec, say: Callable[[str], None] = lambda _: None) -> CoordCheckResult:
    """Train every width and seed under both parametrisations, judge, and publish numbers and a picture."""
    for width in spec.width_mults:
        check_clip(spec.model_arch, width, spec.width_mults[0], use_mup=True)
    device = choose_device()
    rows: dict[str, list[Coordinate]] = {title: [] for title in _TITLES}
    for width in spec.width_mults:
        for seed in range(spec.seeds):
            for title in _TITLES:
                rows[title] += coordinates(spec, width, seed, device, use_mup=title == "muP")
        say(f"width     {width}: {spec.seeds} seeds of {spec.steps} steps, under each parametrisation")
    judged = judge(rows["muP"], rows["standard"], len(spec.width_mults) * spec.seeds, spec.steps)
    slopes = {
        title: [asdict(each) | {"is_within": each.is_within} for each in slopes_of(rows[title])] for title in rows
    }
    results, picture = (storage.join(spec.output_dir, f"coord_check.{suffix}") for suffix in ("json", "png"))
    storage.publish_bytes(picture, _drawn(rows))
    storage.publish_record(
        results,
        {
            "spec": spec.record(),
            **asdict(judged),
            "slopes": slopes,
            "coordinates": {title: [asdict(row) for row in rows[title]] for title in rows},
        },
    )
    return CoordCheckResult(judged.verdict, judged.reasons, judged.growth_of_standard, results, picture)


def _drawn(rows: dict[str, list[Coordinate]]) -> bytes:
    """Sizes of the last block of each tower, and of the features, over width: a line a step."""
    blocks = [row.name for row in rows["muP"] if row.kind == "block"]
    last = [max(name for name in blocks if name.startswith(tower)) for tower in ("vision", "text")]
    shown = [("block", last[0]), ("block", last[1]), ("feature", "image"), ("feature", "text")]
    figure = Figure(figsize=(3.2 * len(shown), 6.4), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(_TITLES), len(shown), sharex=True, squeeze=False)
    for across, title in zip(grid, _TITLES, strict=True):
        for axes, (kind, name) in zip(across, shown, strict=True):
            own = [row for row in rows[title] if (row.kind, row.name) == (kind, name)]
            steps = sorted({row.step for row in own})
            for step in steps:
                widths, sizes = _means([row for row in own if row.step == step])
                axes.plot(widths, sizes, "o-", markersize=3, color=_shade(step, len(steps)), label=f"step {step}")
            axes.set(xscale="log", yscale="log", title=f"{title}: {name}{' feature' if kind == 'feature' else ''}")
            axes.title.set_fontsize(10)
            axes.set_xticks(widths, [f"{width:g}" for width in widths])
            axes.minorticks_off()
            axes.set_ylim(*_limits(rows, kind, name))
    for axes in grid[-1]:
        axes.set_xlabel("width multiplier")
    grid[0][0].set_ylabel("mean absolute value")
    grid[1][0].set_ylabel("mean absolute value")
    grid[0][-1].legend(fontsize=7)
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def _means(rows: Sequence[Coordinate]) -> tuple[list[float], list[float]]:
    widths = sorted({row.width_mult for row in rows})
    return widths, [float(np.mean([row.size for row in rows if row.width_mult == width])) for width in widths]


def _limits(rows: dict[str, list[Coordinate]], kind: str, name: str) -> tuple[float, float]:
    """The same for both parametrisations, so that growth meets the eye."""
    sizes = [row.size for title in rows for row in rows[title] if (row.kind, row.name) == (kind, name)]
    return 0.8 * min(sizes), 1.25 * max(sizes)


def _shade(step: int, steps: int) -> tuple[float, float, float]:
    """A blue that grows darker with the steps."""
    share = (step + 1) / steps
    return 0.75 * (1 - share), 0.45 + 0.4 * (1 - share), 0.70 + 0.25 * (1 - share)
