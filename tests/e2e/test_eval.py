"""`submit eval` on a real cluster: an Indexed Job over tasks, one of whose pods is deleted while it works."""

import json
from dataclasses import replace

import pytest

from datascaler import storage
from tests.e2e.cluster import Cluster
from tests.e2e.data import Data
from tests.e2e.launcher import Launcher
from tests.evaluate.sets import TEN_CLASSES, captioned, labelled, write_set

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("operator")]
TEN_WAY = ("cifar10", "mnist", "stl10", "vtab/eurosat", "vtab/svhn")
RETRIEVAL = "retrieval/flickr_1k_test_image_text_retrieval"


def test_a_pod_is_lost_and_there_is_one_complete_summary(cluster: Cluster, launcher: Launcher, data: Data) -> None:
    sets = storage.join(data.url, "task-sets")
    for seed, key in enumerate(TEN_WAY):
        folder = storage.join(sets, f"wds_{key.replace('/', '-')}_test")
        write_set(folder, labelled(120, 10, seed=1000 * seed), classnames=TEN_CLASSES)
    write_set(
        storage.join(sets, f"wds_{RETRIEVAL.removeprefix('retrieval/')}_test"), captioned(60), dataset_type="retrieval"
    )
    science = ["--pretrained", data.filter_run, "--data-dir", sets, "--num-workers", "1", "--allow-partial-sets"]
    local, out = storage.join(data.url, "eval-local"), storage.join(data.url, "eval-cluster")
    name = launcher.submit("eval", *science, "--output-dir", out, "--count", "3", "--name", "judged")

    [lost, *_] = cluster.running_pods(launcher.namespace, name, 3)
    cluster.kubectl("delete", "pod", "-n", launcher.namespace, lost, "--force", "--grace-period=0")
    waited = launcher("wait", name, "--timeout", "600")
    assert "succeeded (3 of 3 done)" in waited.err
    assert lost not in cluster.pods(launcher.namespace, name)

    # As in the pods (site.py): sums depend on the number of threads in their last bit.
    replace(launcher, environment={**launcher.environment, "OMP_NUM_THREADS": "1"})(
        "eval", *science, "--output-dir", local
    )
    lines = storage.read_text(storage.join(out, "eval_results.jsonl"))
    assert sorted(json.loads(line)["key"] for line in lines.splitlines()) == sorted([*TEN_WAY, RETRIEVAL])
    assert lines == storage.read_text(storage.join(local, "eval_results.jsonl"))
    summary = storage.read_json(storage.join(out, "eval_summary.json"))
    assert (summary["evaluated"], summary["scored"], summary["pending"], summary["failed"]) == (6, 6, [], {})
    assert summary == storage.read_json(storage.join(local, "eval_summary.json"))
    # The same work, asked for again, is not done again.
    again = launcher("submit", "eval", *science, "--output-dir", out, "--count", "3", "--name", "judged")
    assert "is there already with the same spec: succeeded" in again.err
    launcher("cancel", name)
