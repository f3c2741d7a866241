"""Layers of values: merged as the chart merges them, and what two differ in."""

from typing import Any

import pytest

from datascaler.cluster.kube.chart_values import differences, fragment, merged_values
from datascaler.cluster.submit.submission import describe_submission, run_values_of
from tests.charts.render import RUN_CHART, helm, manifests

OVERLAY: dict[str, Any] = {"podOverlay": {"spec": {"b": None}}}


@pytest.mark.parametrize(
    ("layers", "result"),
    [
        ([], {}),
        ([{"a": 1}, {"b": 2}], {"a": 1, "b": 2}),
        ([{"a": {"x": 1}}, {"a": {"y": 2}}], {"a": {"x": 1, "y": 2}}),
        ([{"a": {"x": 1}}, {"a": 2}], {"a": 2}),
        ([{"a": 1}, {"a": {"x": 2}}], {"a": {"x": 2}}),
        ([{"a": [1, 2]}, {"a": [3]}], {"a": [3]}),
        ([{"a": 1, "b": True, "c": "x"}, {"a": 0, "b": False, "c": ""}], {"a": 0, "b": False, "c": ""}),
        ([{"a": 1, "b": {"x": 1}}, {"a": None, "b": {"x": None}}], {"b": {}}),
        ([{"a": 1}, {"a": None}, {"a": 2}], {"a": 2}),
        ([{"a": {"x": {"y": None, "z": 1}}}], {"a": {"x": {"z": 1}}}),
        ([{"podOverlay": {"spec": {"a": 1}}}, OVERLAY], OVERLAY),
        ([{"podOverlay": {"spec": {"a": 1}}}, {"podOverlay": None}], {}),
    ],
    ids=str,
)  # fmt: skip
def test_merged(layers: list[dict[str, Any]], result: dict[str, Any]) -> None:
    assert merged_values(*layers) == result


def test_layers_stay_as_they_are() -> None:
    below, above = {"a": {"x": [1]}}, {"a": {"y": [2]}, "podOverlay": {"spec": {}}}
    result = merged_values(below, above)
    result["a"]["x"].append(9)
    result["a"]["y"].append(9)
    result["podOverlay"]["spec"]["z"] = 9
    assert (below, above) == ({"a": {"x": [1]}}, {"a": {"y": [2]}, "podOverlay": {"spec": {}}})


def test_fragment() -> None:
    assert fragment("gpu.count", 2) == {"gpu": {"count": 2}}
    assert fragment("shmSize", "1Gi") == {"shmSize": "1Gi"}


def test_differences_are_leaves_in_order() -> None:
    before = {"b": 1, "a": {"x": 1, "y": [1]}, "same": {"z": 0}, "gone": {"p": 1}}
    after = {"b": 2, "a": {"x": 1, "y": [2]}, "same": {"z": 0}, "new": False}
    assert list(differences(before, after)) == [
        ("a.y", [1], [2]),
        ("b", 1, 2),
        ("gone", {"p": 1}, None),
        ("new", None, False),
    ]
    assert list(differences(before, before)) == []


SHARED: dict[str, Any] = {
    "kind": "score",
    "command": ["datascaler", "score"],
    "gpu": {"count": 2},
    "suspend": True,
    "parallelism": 1,
    "labels": {"team": "a", "cost": "b"},
    "tolerations": [{"key": "slow", "operator": "Exists"}],
    "podOverlay": {"spec": {"hostname": "here", "terminationGracePeriodSeconds": None}},
}

OWN: list[dict[str, Any]] = [
    {},
    {"gpu": {"count": 0}, "suspend": False, "tolerations": []},
    {"gpu": {"count": None}, "parallelism": None, "labels": {"who": "c"}},
    {"podOverlay": {"spec": {"subdomain": "there"}}},
    {"podOverlay": {}, "kind": "subset", "command": ["datascaler", "subset"], "completions": 1},
    {"kind": "train", "command": ["datascaler", "train"], "train": {"workers": 3, "maxWorkers": 4}},
]


def test_the_chart_lays_runs_over_what_they_share_by_the_same_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run rendered alone from values merged here is the object that the list renders to."""
    monkeypatch.setenv("DATASCALER_HELM", helm())
    values = SHARED | {"runs": [own | {"name": f"run-{number}"} for number, own in enumerate(OWN)]}
    together = manifests(RUN_CHART, values)
    alone = []
    for name, own in run_values_of(values, "release").items():
        # The chart's own defaults are below both, and a null removes those too.
        nulls = _nulls(next(one for one in values["runs"] if one["name"] == name))
        [job] = manifests(RUN_CHART, merged_values(own) | _with_nulls(own, nulls))
        alone.append(job)
    assert together == alone
    assert len(together) == len(OWN)


def test_a_list_is_one_release_of_runs_that_carry_their_own_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATASCALER_HELM", helm())
    runs = [{"name": "one"}, {"name": "two", "gpu": {"count": 4}}]
    described = describe_submission("both", "ns", [SHARED, {"runs": runs}], "1.34.0")
    assert described.run_names == [each["metadata"]["name"] for each in described.objects] == ["one", "two"]
    for each in described.objects:
        assert each["metadata"]["labels"]["app.kubernetes.io/instance"] == "both"
        assert each["metadata"]["labels"]["datascaler/run"] == each["metadata"]["name"]
    own = run_values_of(described.values, "both")
    assert [own[name]["gpu"]["count"] for name in ("one", "two")] == [2, 4]


def _nulls(values: dict[str, Any]) -> dict[str, Any]:
    """The nulls alone, with the maps that they are in; an overlay's are its own."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if value is None:
            found[key] = None
        elif isinstance(value, dict) and key != "podOverlay" and (inside := _nulls(value)):
            found[key] = inside
    return found


def _with_nulls(values: dict[str, Any], nulls: dict[str, Any]) -> dict[str, Any]:
    return {
        key: None if inside is None else {**values.get(key, {}), **_with_nulls(values.get(key, {}), inside)}
        for key, inside in nulls.items()
    }
