"""muP: what coordinate checks measured, and whether the best learning rate of narrow models is that of wide ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, fsum, log
from typing import Any

from datascaler import storage
from datascaler.data.runs.read_metrics import is_number
from datascaler.errors import ConfigError, StorageError
from datascaler.report.blocks import PageBlock, Section, Table, Text, number, words
from datascaler.report.charts import Curve, curves
from datascaler.report.sweeps import ReadSweep
from datascaler.spec.numbers import format_fraction

_TITLES = ("standard", "muP")
_JUDGED = ("block", "feature", "direction", "attention")
_MOST_TICKS = 16

_Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ReadCoordCheck:
    url: str
    record: Mapping[str, Any]
    rows: Mapping[str, Sequence[_Row]]
    """Each row has its parametrisation: kind, name, step, width_mult and size."""
    slopes: Mapping[str, Sequence[_Row]]


def read_coord_checks(urls: Sequence[str]) -> tuple[list[ReadCoordCheck], dict[str, str]]:
    """The checks, and why each other one can't be read."""
    found, failures = [], {}
    for url in urls:
        try:
            found.append(_read(url))
        except (ConfigError, StorageError) as error:
            failures[url] = str(error)
    return found, failures


def mup_section(
    checks: Sequence[ReadCoordCheck], failures: Mapping[str, str], sweeps: Sequence[ReadSweep]
) -> Section | None:
    blocks: list[PageBlock] = []
    for at, check in enumerate(checks):
        blocks += _check_blocks(check, at)
    blocks += [Text(text=f"{url} can't be read: {reason}") for url, reason in failures.items()]
    blocks += _transfer_blocks(sweeps)
    return Section(name="mup", title="muP", blocks=blocks) if blocks else None


def _read(url: str) -> ReadCoordCheck:
    record = storage.read_record(url)
    try:
        rows = {title: [_row(row, "size", "width_mult") for row in record["coordinates"][title]] for title in _TITLES}
        slopes = {title: [_row(row, "slope") for row in record["slopes"][title]] for title in _TITLES}
        if not rows["muP"] or not is_number(record["growth_of_standard"]) or not isinstance(record["verdict"], str):
            raise ValueError("it has no coordinates or no verdict")
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{url} is not a coordinate check of this version ({error})") from error
    return ReadCoordCheck(url, record, rows, slopes)


def _row(row: _Row, *numbers: str) -> _Row:
    if not all(is_number(row[name]) for name in ("step", *numbers)):
        raise ValueError("a number of it is none")
    return {**row, "kind": str(row["kind"]), "name": str(row["name"])}


def _check_blocks(check: ReadCoordCheck, at: int) -> list[PageBlock]:
    spec = check.record.get("spec")
    arch = spec.get("model_arch") if isinstance(spec, Mapping) else None
    widths = sorted({row["width_mult"] for row in check.rows["muP"]})
    told = (
        f"The coordinate check{f' of {arch}' if arch else ''} at {len(widths)} widths: {check.record['verdict']}. "
        f"Under the standard parametrisation blocks grow as width^{check.record['growth_of_standard']:+.2f}."
    )
    reasons = check.record.get("reasons")
    said = [str(each) for each in reasons] if isinstance(reasons, list) else []
    blocks: list[PageBlock] = [Text(text=" ".join([told, *said, check.url]))]
    for title in _TITLES:
        axis = {"type": "log", "tickvals": widths[:_MOST_TICKS], "ticktext": [f"{each:g}" for each in widths]}
        says = (
            f"Mean absolute value of what a model computes under the {title} parametrisation against its width, before "
            "the first step and after the last, on logarithmic axes; level lines are what muP promises."
        )
        rows = _sizes(check.rows[title])
        name = f"coordinates-{at}-{title.lower()}"
        heading = f"Coordinate check: {title}"
        axes: dict[str, Mapping[str, Any]] = {"x": axis, "y": {"type": "log"}}
        blocks.append(curves(name, heading, says, rows, "width multiplier", "mean absolute value", **axes))
    return [*blocks, _slope_table(check, at)]


def _sizes(rows: Sequence[_Row]) -> list[Curve]:
    """The last block of each tower and the features, before the first step and after the last one."""
    blocks = sorted({row["name"] for row in rows if row["kind"] == "block"})
    shown = [("block", name) for name in {name.split()[0]: name for name in blocks}.values()]
    shown += [("feature", name) for name in sorted({row["name"] for row in rows if row["kind"] == "feature"})]
    steps = sorted({row["step"] for row in rows})
    found = []
    for kind, name in shown:
        for step in (steps[0], steps[-1]):
            of_width: dict[float, list[float]] = {}
            for row in rows:
                if (row["kind"], row["name"], row["step"]) == (kind, name, step) and row["size"] > 0:
                    of_width.setdefault(row["width_mult"], []).append(log(row["size"]))
            x = sorted(of_width)
            y = [float(f"{exp(fsum(of_width[width]) / len(of_width[width])):.6g}") for width in x]
            label = f"{name} {kind}, step {step:g}" if kind == "feature" else f"{name}, step {step:g}"
            found.append(Curve(label=label, group=f"{kind} {name}", x=x, y=y))
    return [each for each in found if each.x]


def _slope_table(check: ReadCoordCheck, at: int) -> Table:
    standard = {(row["kind"], row["name"], row["step"]): row["slope"] for row in check.slopes["standard"]}
    rows = [
        [
            words(row["kind"]),
            words(row["name"]),
            number(int(row["step"])),
            number(row["slope"], 2),
            number(standard.get((row["kind"], row["name"], row["step"])), 2),
            words("yes" if row.get("is_within") else "no"),
        ]
        for row in check.slopes["muP"]
        if row["kind"] in _JUDGED
    ]
    columns = ["kind", "name", "step", "exponent of width, muP", "standard", "muP is within limits"]
    title = "How sizes go with width"
    return Table(name=f"slopes-{at}", title=title, columns=columns, rows=rows, folded=True)


def _transfer_blocks(sweeps: Sequence[ReadSweep]) -> list[PageBlock]:
    """Sweeps that differ in their width alone: the best rate of each, and what the narrowest one's costs there."""
    groups: dict[tuple[object, ...], list[ReadSweep]] = {}
    for sweep in sweeps:
        if sweep.spec is not None and sweep.result.best.train_loss is not None:
            spec = sweep.spec
            budget = (spec.train_num_samples, spec.batch_size, spec.schedule)
            base = spec.min_width_mult if spec.use_mup else None
            key = (spec.subset_name, spec.model_arch, base, budget)
            groups.setdefault(key, []).append(sweep)
    rows, told = [], []
    for own in groups.values():
        ordered = sorted((each for each in own if each.spec), key=lambda each: each.spec.width_mult if each.spec else 0)
        if len({each.spec.width_mult for each in ordered if each.spec}) < 2:
            continue
        narrowest = ordered[0].result.best
        for each in ordered:
            assert each.spec is not None
            best = each.result.best
            there = [point.train_loss for point in each.result.points if point.lr == narrowest.lr and point.train_loss]
            extra = min(there) - best.train_loss if there and best.train_loss is not None else None
            rows.append(
                [
                    words(each.spec.subset_name),
                    words("muP" if each.spec.use_mup else "standard"),
                    words(format_fraction(each.spec.width_mult)),
                    number(best.lr),
                    number(best.train_loss),
                    number(extra, 2),
                ]
            )
        told.append(_told(ordered))
    if not rows:
        return []
    columns = ["subset", "parametrisation", "width", "best learning rate", "its loss", "what the narrowest one's adds"]
    note = "The last column is the loss at the best learning rate of the narrowest model less the best loss of the row."
    title = "Transfer of the learning rate over width"
    return [
        *(Text(text=each) for each in told),
        Table(name="transfer", title=title, columns=columns, rows=rows, note=note),
    ]


def _told(ordered: Sequence[ReadSweep]) -> str:
    first, last = ordered[0], ordered[-1]
    assert first.spec is not None
    assert last.spec is not None
    kind = "muP" if first.spec.use_mup else "the standard parametrisation"
    narrow, wide = first.result.best.lr, last.result.best.lr
    growth = f"{float(last.spec.width_mult / first.spec.width_mult):.3g}"
    moved = "the same" if narrow == wide else f"{wide / narrow:.3g} times that"
    return (
        f"{first.spec.subset_name}, {first.spec.model_arch}, under {kind}: the best learning rate is {narrow:g} at "
        f"width {format_fraction(first.spec.width_mult)}, and {moved} at {growth} times the width."
    )
