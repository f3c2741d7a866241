"""Texts that would be more than texts: each value of the charts is rendered as it is, or refused by its name."""

from pathlib import Path

import pytest

from tests.charts.hostile_values import CHARTS, rounds
from tests.charts.render import RUN_CHART, refusal
from tests.charts.schema_values import read_schema


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.name)
def test_what_is_not_refused_is_rendered_as_it_is(chart: Path) -> None:
    rounds(chart, 3)


def test_every_key_of_a_run_is_one_of_a_list_of_runs_too() -> None:
    """So that what is tried in lists is all that there is."""
    schema = read_schema(RUN_CHART)
    assert {key: each["$ref"] for key, each in schema["properties"].items() if key != "runs"} == {
        key: f"#/definitions/run/properties/{key}" for key in schema["definitions"]["run"]["properties"]
    }


@pytest.mark.parametrize(
    "key", ["serviceAccountName", "schedulerName", "priorityClassName", "runtimeClassName", "queue", "storage"]
)
def test_a_line_of_its_own_is_refused_by_name(key: str) -> None:
    inner = {"queue": "name", "storage": "secretName"}.get(key)
    text = "a\n  hostNetwork: true"
    said = refusal(RUN_CHART, {"command": ["x"], key: {inner: text} if inner else text})
    assert f"/{key}" in said or key in said
