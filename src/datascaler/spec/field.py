"""Facts about a spec's field that others act on, kept at the field, and a spec as words of its own command line."""

from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, fields, is_dataclass
from fractions import Fraction
from functools import cache
from typing import Any, Literal

from datascaler.spec.numbers import format_fraction

Place = Literal["url", "model", "scores", "node"]
"""What a text names: files, folders or URLs (several as a::b); a model, by a word that is known or by its file or URL;
the score tables of that name in the output folder; a folder on each machine that does the work."""

_KEY = "datascaler"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    place: Place | None = None
    """What the value names; None is nothing outside the command."""
    written: bool = False
    """Results go there."""
    flag: str | None = None
    """The flag without dashes; None is the field's own name."""
    argument: bool = False
    """It stands on the command line by itself, without a flag."""
    repeated: bool = False
    """A flag for each item, in place of one flag with commas."""
    axis: str | None = None
    """The field of a sweep's spec that has several values of this one."""
    more_axis: str | None = None
    """The same, where a sweep has the field's own flag too, and varies it only if it is asked to."""
    runtime: bool = False
    """How a run is carried out, not what it computes: a resumed run may change it."""
    methods: tuple[str, ...] | None = None
    """The methods that read it; None is all."""


_NONE = Facts()


def about(**facts: Any) -> Mapping[str, Facts]:
    """Metadata of a field: `subset_file: str | None = field(default=None, metadata=about(place="url"))`."""
    return {_KEY: Facts(**facts)}


def facts_of(each: Field[Any]) -> Facts:
    facts: Facts = each.metadata.get(_KEY, _NONE)
    return facts


def names_where(spec: type, fact: str) -> dict[str, Any]:
    """The names of the fields that have a fact, each with what the fact is."""
    found = {each.name: getattr(facts_of(each), fact) for each in fields(spec)}
    return {name: value for name, value in found.items() if value}


def flat_fields(spec: Any) -> Iterator[Field[Any]]:
    """The fields of a spec or its class; in place of a group of options, the fields of the group."""
    for each in fields(spec):
        yield from flat_fields(each.type) if is_dataclass(each.type) else [each]


def field_named(spec: type, name: str) -> Field[Any]:
    """The field of that name; those of a group of options count too."""
    return _by_name(spec)[name]


@cache
def _by_name(spec: type) -> dict[str, Field[Any]]:
    return {each.name: each for each in flat_fields(spec)}


def flat_items(spec: Any) -> Iterator[tuple[Field[Any], Any]]:
    """The same, each with its value."""
    for each in fields(spec):
        value = getattr(spec, each.name)
        yield from flat_items(value) if is_dataclass(value) else [(each, value)]


def names_read(spec: type, method: str) -> list[str]:
    """The names of the fields that a method reads."""
    read = (each for each in fields(spec) if method in (facts_of(each).methods or (method,)))
    return [name for each in read for name in _names(each)]


def arguments_of(spec: Any, implied: Mapping[str, Any]) -> list[str]:
    """Words for the fields whose values the command line would not have anyway; parsed, they are the spec again.

    implied: what it would have in place of the field's default.
    """
    words = []
    for each, value in flat_items(spec):
        if value != implied.get(each.name, each.default):
            words += words_of(flag_of(each), value, repeated=facts_of(each).repeated)
    return words


def flag_of(each: Field[Any]) -> str:
    """`--subset-file`; `RUNS` of what has no flag."""
    if facts_of(each).argument:
        return each.name.upper()
    return "--" + (facts_of(each).flag or each.name).replace("_", "-")


def words_of(flag: str, value: Any, *, repeated: bool = False) -> list[str]:
    """A flag and its value as words of a command line; None is no words."""
    if value is None:
        return []
    if value is True:
        return [flag]
    if isinstance(value, list | tuple):
        if repeated:
            return [word for item in value for word in words_of(flag, item)]
        return words_of(flag, ",".join(map(_text, value)))
    text = _text(value)
    # Apart, as people write it, but where the value would be taken for a flag.
    return [f"{flag}={text}"] if value is False or text.startswith("-") or not text else [flag, text]


def _names(each: Field[Any]) -> list[str]:
    return [inner.name for inner in flat_fields(each.type)] if is_dataclass(each.type) else [each.name]


def _text(value: Any) -> str:
    if isinstance(value, Fraction):
        name = format_fraction(value)
        return str(value) if "-" in name.lstrip("-") else name
    return str(value).lower() if isinstance(value, bool) else str(value)
