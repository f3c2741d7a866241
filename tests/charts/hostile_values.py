"""Every value of a chart, by its schema, with hostile texts in its place: rendered as it is, or refused by its name."""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from datascaler.cluster.kube.helm import as_yaml, objects_of
from datascaler.errors import ConfigError
from tests.charts.hostile_texts import HOSTILE, hostile_texts
from tests.charts.render import NAMESPACE_CHART, RUN_CHART, template
from tests.charts.schema_values import SchemaValues, places_of_marks, read_schema

_RUNS: tuple[dict[str, Any], ...] = (
    {"kind": "score", "digest": ""},
    {"kind": "train", "backend": "pytorchjob", "system": "volcano"},
    {"kind": "train", "backend": "job", "system": "kai", "digest": ""},
    {"kind": "subset", "podOverlay": {}},
    {"kind": "pipeline", "digest": ""},
)
"""Runs of every kind of object; what stands under some keys decides what is rendered of others."""


def _of_runs(found: SchemaValues, schema: Any) -> dict[str, Any]:
    run = schema["definitions"]["run"]
    return {"runs": [found.values(run, chosen, ("runs", str(number))) for number, chosen in enumerate(_RUNS)]}


def _of_namespace(found: SchemaValues, schema: Any) -> dict[str, Any]:
    values: dict[str, Any] = found.values(schema, {"digest": "", "kind": "User"})
    for key in ("localQueue", "networkPolicy"):
        values[key]["create"] = True
    return values


_LABEL = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_NAME = re.compile(r"[A-Za-z]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
"""What may be the name of a label and of a variable."""

CHARTS: Mapping[Path, Callable[[SchemaValues, Any], dict[str, Any]]] = {
    RUN_CHART: _of_runs,
    NAMESPACE_CHART: _of_namespace,
}


def rounds(chart: Path, number: int) -> None:
    """So often, draw a text for each value. One rendering tells what the schema refuses, another renders the rest."""
    schema = read_schema(chart)
    found = SchemaValues(schema["definitions"])
    values = CHARTS[chart](found, schema)
    places = dict(places_of_marks(values))
    assert places.keys() == found.tame.keys()
    said, objects = _rendered(chart, filled(values, found.tame))
    wanted = as_pods_see(objects)
    assert wanted, said
    _refuse_texts_for_numbers(chart, values, found)
    with_rules = {mark: path for mark, (path, is_name) in places.items() if is_name and mark not in found.free}
    _refuse_names(chart, filled(values, found.tame), set(with_rules.values()))

    def _is_refused(mark: str, text: str) -> bool:
        """Helm does not say where a name is that the schema refuses, so that one would hide what is said of others."""
        if mark in with_rules and not _NAME.fullmatch(text):
            return True
        return _is_beyond_yaml({text: 0} if places[mark][1] else text)

    drawn = random.Random(chart.name)
    rendered: set[str] = set()
    for _ in range(number):
        texts = {mark: hostile_texts(drawn, 1, tame)[0] for mark, tame in found.tame.items()}
        texts = {mark: text for mark, text in texts.items() if not _is_refused(mark, text)}
        objects = []
        while not objects:
            said, objects = _rendered(chart, filled(values, found.tame | texts))
            # The name that a value is under may be a mark too.
            at = {mark: replaced(path, found.tame | texts) for mark, (path, is_name) in places.items() if not is_name}
            named = {mark for mark in texts.keys() & at.keys() if f"'{at[mark]}'" in said}
            assert objects or named, said
            texts = {mark: text for mark, text in texts.items() if mark not in named}
        rendered |= texts.keys()
        by_tame = {found.tame[mark]: text for mark, text in texts.items()}
        assert as_pods_see(objects) == replaced(wanted, by_tame)
    assert rendered >= found.free


def _refuse_texts_for_numbers(chart: Path, values: Any, found: SchemaValues) -> None:
    texts = filled(values, found.tame)
    for path in found.no_texts:
        _put(texts, path, "yes: 1e3")
    said, _ = _rendered(chart, texts)
    assert not [path for path in found.no_texts if f"'/{'/'.join(path)}'" not in said]


def _refuse_names(chart: Path, values: Any, places: set[str]) -> None:
    texts = [text for text in HOSTILE if not _LABEL.fullmatch(text) and not _is_beyond_yaml({text: 0})]
    for place in places:
        for text in texts:
            _put(values, (*place.split("/")[1:], text), "a")
    said, _ = _rendered(chart, values)
    assert said.count("invalid propertyName") == len(places) * len(texts)


def _put(value: Any, path: Sequence[str], text: str) -> None:
    *folders, last = path
    for key in folders:
        value = value[int(key)] if isinstance(value, list) else value.setdefault(key, {})
    if isinstance(value, list):
        value[int(last) :] = [text]
    else:
        value[last] = text


def _rendered(chart: Path, values: Any) -> tuple[str, list[Any]]:
    """What is said against the values, and what becomes of them."""
    done = template(chart, values)
    return done.stderr, objects_of(done.stdout) if done.returncode == 0 else []


def _is_beyond_yaml(value: Any) -> bool:
    """What is refused wherever it stands."""
    try:
        as_yaml(value)
    except ConfigError:
        return True
    return False


def filled(value: Any, texts: Mapping[str, str]) -> Any:
    """With texts in the places of marks."""
    return _mapped(value, lambda text: texts.get(text, text))


def replaced(value: Any, texts: Mapping[str, str]) -> Any:
    """With texts in the places of others, which may stand inside of longer ones."""
    pattern = re.compile("|".join(map(re.escape, texts)) or r"\b\B")
    return _mapped(value, lambda text: pattern.sub(lambda match: texts[match[0]], text))


def _mapped(value: Any, act: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {_mapped(key, act): _mapped(each, act) for key, each in value.items()}
    if isinstance(value, list):
        return [_mapped(each, act) for each in value]
    return act(value) if isinstance(value, str) else value


def as_pods_see(value: Any) -> Any:
    """Kubernetes takes `$$` for `$` in commands and variables; and values inside of a text are told apart."""
    if isinstance(value, list):
        return [as_pods_see(each) for each in value]
    if not isinstance(value, dict):
        return value
    found = {key: as_pods_see(each) for key, each in value.items()}
    if "image" in found and "command" in found:
        found["command"] = [word.replace("$$", "$") for word in found["command"]]
        found["env"] = {each["name"]: each.get("value", "").replace("$$", "$") or each for each in found["env"]}
    if "values.yaml" in found:
        [found["values.yaml"]] = objects_of(found["values.yaml"])
    return found
