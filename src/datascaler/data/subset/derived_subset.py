"""Subsets made of other subsets: where they may be written, and what their recipes take over."""

from typing import Any

from numpy.typing import NDArray

from datascaler import storage
from datascaler.data.subset.subset import base_of, format_of, read_recipe, refuse_repeats, subset_digest, write_subset
from datascaler.errors import ConfigError

_OF_THE_POOL = ("tables", "pool_digest", "score_id")
"""What training needs of a recipe to make a plan without reading the pool."""


def publish_derived(url: str, uids: NDArray[Any], recipe: dict[str, Any], *, overwrite: bool) -> str:
    """Write the subset in the format of the URL's suffix, and its recipe. Returns the subset's URL.

    Raises ConfigError where the recipe's name is taken by another subset, unless it may be overwritten.
    """
    if not len(uids):
        raise ConfigError(f"no uid is left, so {url} is not written")
    refuse_repeats(uids, [format_of(url)])
    before = read_recipe(url)
    if before and before["digest"] != subset_digest(uids) and not overwrite:
        raise ConfigError(
            f"{base_of(url)}.json describes another subset ({before['digest']}): choose another name, or --overwrite"
        )
    return write_subset(base_of(url), uids, recipe, [format_of(url)])[0]


def derived_name(url: str) -> str:
    """What training calls a subset that no single method chose."""
    return storage.basename(base_of(url)).lower()


def pool_of(recipes: list[dict[str, Any] | None]) -> dict[str, Any]:
    """The pool that all these recipes were made for; nothing where they know of none, or of several."""
    known = [recipe for recipe in recipes if recipe and recipe.get("pool_digest") and recipe.get("tables")]
    if len({recipe["pool_digest"] for recipe in known}) != 1:
        return {}
    return {key: known[0][key] for key in _OF_THE_POOL if key in known[0]}
