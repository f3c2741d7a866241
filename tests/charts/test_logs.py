"""charts/datascaler-run: what a pod leaves behind, as output and as the reason of its end."""

import pytest

from tests.charts.render import RUN_CHART, manifests
from tests.charts.runs import env_of, pod_of, rendered, run


@pytest.mark.parametrize("kind", ["score", "subset", "train", "pipeline"])
def test_the_pod_knows_where_to_keep_its_output_and_its_own_name(kind: str) -> None:
    env = env_of(pod_of(rendered(run(kind, logs="s3://bucket/logs"))))
    assert env["DATASCALER_LOG_DIR"] == "s3://bucket/logs"
    assert env["DATASCALER_POD"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    assert not [name for name in env_of(pod_of(rendered(run(kind)))) if name.startswith("DATASCALER_")]


def test_each_run_of_a_list_has_its_own_folder() -> None:
    runs = [run("score", name="one", logs="s3://b/one"), run("score", name="two"), run("score", name="three", logs="")]
    values = {"kind": "score", "logs": "s3://b/shared", "runs": runs}
    folders = [env_of(pod_of(job)).get("DATASCALER_LOG_DIR") for job in manifests(RUN_CHART, values)]
    assert folders == ["s3://b/one", "s3://b/shared", None]


@pytest.mark.parametrize("kind", ["score", "train", "pipeline"])
def test_the_last_lines_of_a_failed_pod_are_in_its_status(kind: str) -> None:
    [container] = pod_of(rendered(run(kind)))["containers"]
    assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"
