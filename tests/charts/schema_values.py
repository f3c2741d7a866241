"""Values for every key that the schema of a chart knows, with a mark in the place of each text."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MARK = re.compile(r"mark\d{4}")
KEY = "a.b_c"
"""A name of a label, an annotation and a variable."""


@dataclass(slots=True)
class SchemaValues:
    """Values of a chart and where their texts came from."""

    definitions: Mapping[str, Any]
    tame: dict[str, str] = field(default_factory=dict)
    """mark -> a text in its place that no rule refuses."""
    free: set[str] = field(default_factory=set)
    """Marks of what may be any text."""
    no_texts: list[tuple[str, ...]] = field(default_factory=list)
    """Where numbers, truth values and single words of a list stand, which are no texts."""

    def values(self, schema: Mapping[str, Any], chosen: Mapping[str, Any], path: tuple[str, ...] = ()) -> Any:
        """An example of what a schema describes; None for what is no text. chosen: what stands under some keys."""
        schema = self._resolved(schema)
        if "enum" in schema or "const" in schema or not _has_texts(schema):
            self.no_texts.append(path)
            return schema["enum"][0] if "enum" in schema else None
        if "oneOf" in schema:
            return self.values(schema["oneOf"][0], chosen, path)
        if schema.get("type") == "array":
            return self._items(schema["items"], chosen, path)
        if schema.get("type") == "object":
            return self._object(schema, chosen, path)
        return self._mark(schema)

    def _object(self, schema: Mapping[str, Any], chosen: Mapping[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
        found = {}
        for key, inner in schema.get("properties", {}).items():
            value = chosen[key] if key in chosen else self.values(inner, chosen, (*path, key))
            if value is not None:
                found[key] = value
        others = schema.get("additionalProperties", not found)
        if others is True:
            found["free"] = self._mark({})
        elif others:
            found |= self._others(self._resolved(others), schema.get("propertyNames", {}), chosen, path)
        return found

    def _others(
        self, each: Mapping[str, Any], names: Mapping[str, Any], chosen: Mapping[str, Any], path: tuple[str, ...]
    ) -> dict[str, Any]:
        """Under a name of our own, under one that is a mark, and of a kind of value that is no text, under its name."""
        found = {KEY: self.values(each, chosen, path), self._mark(names): self._mark(each)}
        for kind in each.get("oneOf", ())[1:]:
            for key, inner in kind["properties"].items():
                found[f"as_{key}"] = {key: self.values(inner, chosen, (*path, f"as_{key}", key))}
        return found

    def _items(self, schema: Mapping[str, Any], chosen: Mapping[str, Any], path: tuple[str, ...]) -> list[Any]:
        """One for each word of the first list of words that an item may have, else one."""
        inner = self._resolved(schema)
        key = next((key for key, each in inner.get("properties", {}).items() if "enum" in self._resolved(each)), None)
        words = self._resolved(inner["properties"][key])["enum"] if key else [None]
        items = [
            self.values(schema, {**chosen, key: word} if key else chosen, (*path, str(number)))
            for number, word in enumerate(words)
        ]
        return [item for item in items if item is not None]

    def _mark(self, schema: Mapping[str, Any]) -> str:
        schema = self._resolved(schema)
        mark = f"mark{len(self.tame):04d}"
        number = 1_000 + len(self.tame)
        forms = (mark, f"{number}Gi", f"{number}m", f"a.b/{mark}", f"sha256:{number:064x}")
        self.tame[mark] = next(text for text in forms if re.search(schema.get("pattern", ""), text))
        if "pattern" not in schema:
            self.free.add(mark)
        return mark

    def _resolved(self, schema: Mapping[str, Any] | bool) -> dict[str, Any]:
        """Without references, and with all that applies together in one."""
        found = dict(schema) if isinstance(schema, Mapping) else {}
        if "$ref" in found:
            target: Any = {"definitions": self.definitions}
            for part in found.pop("$ref").removeprefix("#/").split("/"):
                target = target[part]
            found = {**self._resolved(target), **found}
        for each in found.pop("allOf", ()):
            found = {**found, **self._resolved(each)}
        return found


def _has_texts(schema: Mapping[str, Any]) -> bool:
    types = schema.get("type", "string")
    return bool({"string", "object", "array"} & set([types] if isinstance(types, str) else types))


def read_schema(chart: Path) -> Any:
    return json.loads((chart / "values.schema.json").read_text())


def places_of_marks(value: Any, path: str = "") -> Iterator[tuple[str, tuple[str, bool]]]:
    """(mark, (where it stands as helm names the place, whether it is a name there))."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in pairs:
        inner = f"{path}/{str(key).replace('~', '~0').replace('/', '~1')}"
        if MARK.fullmatch(str(key)):
            yield str(key), (path, True)
        if isinstance(each, str) and MARK.fullmatch(each):
            yield each, (inner, False)
        yield from places_of_marks(each, inner)
