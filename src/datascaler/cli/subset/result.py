"""What the verbs that make a subset say of its plan."""

from typing import TYPE_CHECKING, Any

from datascaler.cli.output import note, suggest

if TYPE_CHECKING:
    from datascaler.data.select.select_subset import MadeSubset


def coverage_lines(made: "MadeSubset") -> dict[str, Any]:
    """How much of the subset the pool has; a note instead where it was chosen by metadata, which has no samples."""
    if made.coverage is None:
        note("no plan was made: the scores are of DataComp's metadata; `train` makes one when it sees the pool's tars")
        return {}
    return {"coverage": f"{made.coverage.present:,} of {made.coverage.wanted:,} uids present in this pool"}


def suggest_training(subset: str, *, as_json: bool) -> None:
    given = ["--data-dir", "POOL", "--output-dir", "RUNS", "--scale", "small", "--subset-file", subset]
    suggest(["train", *given], as_json=as_json)
