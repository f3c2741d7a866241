"""Values of the chart: layers laid over one another, and what two of them differ in."""

import copy
import json
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from datascaler.errors import ConfigError

Values = dict[str, Any]

_WHOLE = {"podOverlay"}
"""Replaced as a whole: the nulls in an overlay are for the pod."""


def as_json_has_them(values: Any) -> Any:
    """Values as JSON has them: a date that YAML sees in a text without quotes is that text.

    Raises ConfigError for what JSON does not have.
    """
    try:
        return json.loads(json.dumps(values, default=_date))
    except TypeError as error:
        raise ConfigError(f"a name in it is none ({error})") from error


def _date(value: Any) -> str:
    if isinstance(value, date):
        return value.isoformat()
    raise ConfigError(f"a value is a {type(value).__name__}, which no manifest can hold")


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
