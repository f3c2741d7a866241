"""charts/datascaler-run: training, with the operator and without it."""

import pytest

from tests.charts.render import RUN_CHART, manifests
from tests.charts.runs import env_of, pod_of, rendered, run

SHUTDOWN = "TORCH_ELASTIC_SHUTDOWN_TIMEOUT"


def test_train_is_an_elastic_pytorchjob_of_workers_only() -> None:
    values = run("train", train={"workers": 2, "minWorkers": 1, "maxWorkers": 3}, gpu={"count": 4}, backoffLimit=5)
    job = rendered(values | {"activeDeadlineSeconds": 10_000_000})
    spec = job["spec"]
    assert (job["apiVersion"], job["kind"]) == ("kubeflow.org/v1", "PyTorchJob")
    assert list(spec["pytorchReplicaSpecs"]) == ["Worker"]
    worker = spec["pytorchReplicaSpecs"]["Worker"]
    assert (worker["replicas"], worker["restartPolicy"]) == (2, "OnFailure")
    elastic = spec["elasticPolicy"]
    assert (elastic["minReplicas"], elastic["maxReplicas"], elastic["rdzvId"]) == (1, 3, "my-run")
    assert elastic["maxRestarts"] > 0
    # One key would be refused together with the other, and `standalone` breaks torchrun.
    assert not {"nProcPerNode", "standalone"} & set(elastic)
    assert spec["nprocPerNode"] == "4"
    policy = spec["runPolicy"]
    assert (policy["cleanPodPolicy"], policy["backoffLimit"], policy["activeDeadlineSeconds"]) == (
        "Running",
        15,
        10_000_000,
    )
    assert policy["schedulingPolicy"]["minAvailable"] == 1
    pod = pod_of(job)
    assert "restartPolicy" not in pod
    assert pod["activeDeadlineSeconds"] == 10_000_000
    assert pod["containers"][0]["name"] == "pytorch"


def test_train_without_the_operator_has_the_same_rendezvous() -> None:
    train = {"backend": "job", "workers": 2, "minWorkers": 1, "maxWorkers": 3}
    service, job = manifests(RUN_CHART, run("train", train=train, gpu={"count": 4}))
    assert (service["metadata"]["name"], service["spec"]["clusterIP"]) == ("my-run-0", "None")
    assert service["spec"]["selector"] == {
        "batch.kubernetes.io/job-name": "my-run",
        "batch.kubernetes.io/job-completion-index": "0",
    }
    spec = job["spec"]
    # Only then may Kubernetes change completions of a running Job.
    assert spec["completions"] == spec["parallelism"] == 2
    assert spec["maxFailedIndexes"] == 0
    assert spec["successPolicy"] == {"rules": [{"succeededCount": 1}]}
    assert "successPolicy" not in rendered(run("train", train=train), kubernetes="1.29.3")["spec"]
    env = env_of(pod_of(job))
    port = service["spec"]["ports"][0]["port"]
    assert env["PET_RDZV_ENDPOINT"] == f"my-run-0:{port}"
    assert (env["PET_NNODES"], env["PET_NPROC_PER_NODE"], env["PET_RDZV_ID"]) == ("1:3", "4", "my-run")
    assert env["PET_LOCAL_ADDR"] == {"fieldRef": {"fieldPath": "status.podIP"}}


@pytest.mark.parametrize(("grace", "processes"), [(120, "110"), (5, "1")])
def test_torchrun_gives_its_processes_the_grace_period_and_keeps_some_of_it(grace: int, processes: str) -> None:
    from torch.distributed.launcher.api import LaunchConfig

    values = run("train", terminationGracePeriodSeconds=grace)
    assert env_of(pod_of(rendered(values)))[SHUTDOWN] == processes
    assert env_of(pod_of(rendered(values | {"env": {SHUTDOWN: "7"}})))[SHUTDOWN] == "7"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(SHUTDOWN, processes)
        assert LaunchConfig(min_nodes=1, max_nodes=1, nproc_per_node=1).shutdown_timeout == int(processes)


def test_torchrun_reads_every_variable_of_the_rendezvous() -> None:
    from torch.distributed.run import get_args_parser

    known = {f"PET_{action.dest.upper()}" for action in get_args_parser()._actions}
    env = env_of(pod_of(rendered(run("train", train={"backend": "job"}))))
    assert {name for name in env if name.startswith("PET_")} <= known


@pytest.mark.parametrize(
    ("command", "gpus", "processes"),
    [([], 8, "8"), (["--nproc-per-node", "2"], 8, "2"), (["--nproc-per-node=4"], 0, "4"), ([], 0, "1")],
)
def test_processes_per_worker_are_the_commands_own_or_the_gpus(command: list[str], gpus: int, processes: str) -> None:
    values = run("train", gpu={"count": gpus}) | {"command": ["datascaler", "train", *command]}
    assert rendered(values)["spec"]["nprocPerNode"] == processes
