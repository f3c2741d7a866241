"""A subset in another format."""

from dataclasses import dataclass
from typing import Any

from datascaler import __version__
from datascaler.data.subset.derived_subset import publish_derived
from datascaler.data.subset.multiset import first_of_each
from datascaler.data.subset.subset import base_of, format_of, open_subset, read_recipe, subset_digest
from datascaler.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Converted:
    file: str
    uids: int
    """Repeats counted."""
    dropped_repeats: int
    was_sorted: bool | None
    """Whether the input was sorted; None where its format knows no order."""


def convert_subset(source: str, target: str, *, drop_repeats: bool = False, overwrite: bool = False) -> Converted:
    """Write the uids of `source` as `target`, ascending; both formats are told by the suffix.

    The recipe beside the source goes along. Raises ConfigError where repeats would be lost without `drop_repeats`.
    """
    format_of(target)
    if source == target:
        raise ConfigError(f"{target} would overwrite itself: choose another name")
    uids, was_sorted = open_subset(source)
    kept = uids[first_of_each(uids)] if drop_repeats else uids
    dropped = len(uids) - len(kept)
    recipe = read_recipe(source)
    file = publish_derived(target, kept, _recipe(source, target, recipe, uids, dropped), overwrite=overwrite)
    return Converted(file, len(kept), dropped, was_sorted)


def _recipe(source: str, target: str, recipe: dict[str, Any] | None, uids: Any, dropped: int) -> dict[str, Any]:
    if recipe and base_of(source) == base_of(target) and not dropped:
        return recipe
    lineage: dict[str, Any] = {"converted_from": {"subset": source, "digest": subset_digest(uids)}}
    if dropped:
        lineage |= {"dropped_repeats": dropped, "kept_uids": len(uids) - dropped}
    return {**(recipe or {"code_version": __version__}), **lineage}
