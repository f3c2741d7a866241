"""Every backend of training is known to all that deal with runs: the launcher, the rights and the examples."""

import json
from typing import Any

import pytest
import yaml

from datascaler.cluster.kube.api_paths import RUN_KINDS, path_of
from datascaler.cluster.watch.state import State, run_state, wanted_pods
from tests.charts.render import NAMESPACE_CHART, RUN_CHART, VALUES, manifests
from tests.charts.runs import run

_SCHEMA = json.loads((RUN_CHART / "values.schema.json").read_text())
BACKENDS = _SCHEMA["definitions"]["run"]["properties"]["train"]["properties"]["backend"]["enum"]


def job_of(backend: str) -> dict[str, Any]:
    """The object that is the run, of three workers."""
    train = {"backend": backend, "workers": 3}
    [found] = [each for each in manifests(RUN_CHART, run("train", train=train)) if each["kind"] in RUN_KINDS]
    return found


@pytest.fixture(params=BACKENDS)
def job(request: pytest.FixtureRequest) -> dict[str, Any]:
    return job_of(request.param)


def test_each_has_an_object_of_its_own() -> None:
    assert len({job_of(backend)["kind"] for backend in BACKENDS}) == len(BACKENDS)


def test_its_state_can_be_read(job: dict[str, Any]) -> None:
    assert wanted_pods(job) == 3
    assert run_state(job).state is State.PENDING


def test_the_launcher_may_make_it(job: dict[str, Any]) -> None:
    [role] = [each for each in manifests(NAMESPACE_CHART, {}) if each["kind"] == "Role"]
    *_, plural = path_of(job["kind"], "ns").split("/")
    [verbs] = [rule["verbs"] for rule in role["rules"] if plural in rule["resources"]]
    assert {"get", "list", "create", "delete"} <= set(verbs)


@pytest.mark.parametrize("backend", BACKENDS)
def test_there_is_an_example(backend: str) -> None:
    trained = [
        values for path in VALUES for values in [yaml.safe_load(path.read_text())] if values.get("kind") == "train"
    ]
    assert backend in [values.get("train", {}).get("backend", BACKENDS[0]) for values in trained]
