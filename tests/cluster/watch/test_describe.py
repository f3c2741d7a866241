"""`datascaler describe`: what is told of a run, and that many runs cost no more requests than one."""

import json

import pytest

from datascaler.cluster.kube.api_paths import path_of
from tests.cluster.replay import Replay, recorded_run
from tests.cluster.test_commands import invoke

pytestmark = pytest.mark.usefixtures("kubeconfig")


def test_describe(server: Replay) -> None:
    server.add_run("some-failed")
    text = invoke("describe", "some-failed").stdout
    for part in ("sh -c ", "--count 3", "completions: 3", "some-failed-1-", "FailedIndexes", "Job has failed indexes"):
        assert part in text
    [found] = json.loads(invoke("describe", "some-failed", "--json").stdout)
    assert found["state"]["state"] == "partly failed"
    assert found["values"]["completions"] == 3
    # Those that succeeded are only counted.
    assert [(pod["index"], pod["phase"]) for pod in found["pods"]] == [("1", "Failed")]
    assert [event["time"] for event in found["events"]] == sorted(event["time"] for event in found["events"])


def test_describe_asks_as_much_of_many_runs_as_of_one(server: Replay) -> None:
    asked = []
    for number in range(60):
        found = recorded_run("some-failed")
        name = f"s-{number:02}"
        labels = {"app.kubernetes.io/instance": "s", "datascaler/run": name}
        for thing in (found["run"], *found["pods"]):
            thing["metadata"]["labels"] |= labels
            thing["metadata"]["name"] = thing["metadata"]["name"].replace("some-failed", name)
        for event in found["events"]:
            event["involvedObject"]["name"] = event["involvedObject"]["name"].replace("some-failed", name)
        server.add(found["run"], *found["pods"], *found["events"])
        if number in (1, 59):
            server.asked.clear()
            described = json.loads(invoke("describe", "s", "--json").stdout)
            asked.append(len([each for each in server.asked if each[1] != path_of("Event", "ml")]))
    assert asked[0] == asked[1]
    # Events by the page.
    assert len([each for each in server.asked if each[1] == path_of("Event", "ml")]) <= 3
    for number, each in enumerate(described):
        assert each["state"]["name"] == f"s-{number:02}"
        assert [pod["pod"].rpartition("-")[0] for pod in each["pods"]] == [f"s-{number:02}-1"]
        assert {event["about"].split("/")[1].split("-")[1] for event in each["events"]} == {f"{number:02}"}
    [one] = json.loads(invoke("describe", "s-07", "--json").stdout)
    assert one == described[7]


def test_describe_a_run_that_was_made_otherwise(server: Replay) -> None:
    run = server.add_run("complete")
    del run["metadata"]["annotations"]
    [found] = json.loads(invoke("describe", "complete", "--json").stdout)
    assert found["values"] == {}
