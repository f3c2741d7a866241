"""Values of the chart: layers laid over one another, and what two of them differ in."""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

Values = dict[str, Any]

_WHOLE = {"podOverlay"}
"""Replaced as a whole: the nulls in an overlay are for the pod."""


def merged_values(*layers: Mapping[str, Any]) -> Values:
    """Later layers win: maps merge, anything else is replaced, null removes. The same rule as in the chart."""
    result: Values = {}
    for layer in layers:
        _lay_over(result, layer)
    return result


def fragment(path: str, value: Any) -> Values:
    """`fragment("gpu.count", 2)` is `{"gpu": {"count": 2}}`."""
    for key in reversed(path.split(".")):
        value = {key: value}
    return value  # type: ignore[no-any-return]


def differences(before: Mapping[str, Any], after: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(key path, old value, new value) of every leaf that differs; None stands for absent."""
    for key in sorted({*before, *after}):
        old, new = before.get(key), after.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from differences(old, new, f"{path}{key}.")
        elif old != new:
            yield path + key, old, new


def _lay_over(base: Values, layer: Mapping[str, Any]) -> None:
    for key, value in layer.items():
        if value is None:
            base.pop(key, None)
        elif isinstance(value, Mapping) and key not in _WHOLE:
            if not isinstance(base.get(key), dict):
                base[key] = {}
            _lay_over(base[key], value)
        else:
            base[key] = copy.deepcopy(value)
