"""charts/datascaler-run: which objects a run becomes, and that every value arrives."""

import json
import resource

import pytest
import yaml

from datascaler.errors import (
    BadInputError,
    ConfigError,
    DivergedError,
    PartlyFailedError,
    RunCancelledError,
    RunFailedError,
)
from tests.charts.render import RUN_CHART, manifests, template
from tests.charts.restricted import breaches
from tests.charts.runs import Json, env_of, pod_of, rendered, run

USAGE = 2


@pytest.mark.parametrize("kind", ["score", "eval"])
def test_score_and_eval_are_indexed_jobs(kind: str) -> None:
    job = rendered(run(kind, completions=16, parallelism=0, maxFailedIndexes=0, backoffLimitPerIndex=5))
    spec = job["spec"]
    assert job["kind"] == "Job"
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 16, 0)
    assert (spec["backoffLimitPerIndex"], spec["maxFailedIndexes"]) == (5, 0)
    assert spec["template"]["spec"]["containers"][0]["command"] == ["datascaler", kind, "--count", "16"]
    rest = rendered(run(kind, completions=2))["spec"]
    assert rest["parallelism"] == 2
    assert "maxFailedIndexes" not in rest


@pytest.mark.parametrize("kind", ["subset", "report"])
def test_subset_and_report_are_jobs_without_a_gpu(kind: str) -> None:
    job = rendered(run(kind, backoffLimit=0))
    assert (job["spec"]["completions"], job["spec"]["backoffLimit"]) == (1, 0)
    assert "completionMode" not in job["spec"]
    pod = pod_of(job)
    assert "nvidia.com/gpu" not in pod["containers"][0]["resources"]["limits"]
    assert "tolerations" not in pod


def test_failure_policy_follows_the_exit_codes() -> None:
    def policy(values: Json) -> list[tuple[str, list[int] | str]]:
        rules = rendered(values)["spec"]["podFailurePolicy"]["rules"]
        return [
            (
                rule["action"],
                rule["onExitCodes"]["values"] if "onExitCodes" in rule else rule["onPodConditions"][0]["type"],
            )
            for rule in rules
        ]

    disruption = ("Ignore", "DisruptionTarget")
    wrong, bad, diverged = ConfigError.exit_code, BadInputError.exit_code, DivergedError.exit_code
    assert policy(run("score")) == [
        disruption,
        ("FailJob", [USAGE, wrong]),
        ("FailIndex", [bad, PartlyFailedError.exit_code]),
    ]
    hopeless = ("FailJob", [USAGE, bad, wrong, diverged])
    assert policy(run("subset")) == [disruption, hopeless]
    assert policy(run("train", train={"backend": "job"})) == [disruption, hopeless]
    failed, cancelled, partly = RunFailedError.exit_code, RunCancelledError.exit_code, PartlyFailedError.exit_code
    assert policy(run("pipeline")) == [disruption, ("FailJob", [USAGE, wrong, failed, cancelled, partly])]


def test_gpus_are_asked_for_under_their_name() -> None:
    container = pod_of(rendered(run("score")))["containers"][0]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    pod = pod_of(rendered(run("score", gpu={"resource": "amd.com/gpu", "count": 2, "tolerations": []})))
    resources = pod["containers"][0]["resources"]
    assert resources["limits"]["amd.com/gpu"] == resources["requests"]["amd.com/gpu"] == 2
    assert "tolerations" not in pod


def test_every_word_about_the_pod_arrives() -> None:
    given: Json = {
        "nodeSelector": {"pool": "gpu"},
        "tolerations": [{"key": "spot", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}],
        "priorityClassName": "high",
        "schedulerName": "mine",
        "runtimeClassName": "nvidia",
        "serviceAccountName": "worker",
        "imagePullSecrets": [{"name": "regcred"}],
        "terminationGracePeriodSeconds": 300,
    }
    more = {
        "image": {"repository": "r/i", "digest": "sha256:" + "0" * 64, "pullPolicy": "Always"},
        "resources": {"cpu": 8, "cpuLimit": "16", "memory": "32Gi", "ephemeralStorage": "10Gi"},
        "podSecurityContext": {"runAsUser": 1_000_650_000},
        "volumes": [{"name": "cache", "persistentVolumeClaim": {"claimName": "cache"}}],
        "volumeMounts": [{"name": "cache", "mountPath": "/cache"}],
        "shmSize": "8Gi",
        "scratchSize": "50Gi",
        "storage": {"secretName": "s3"},
        "envFrom": [{"configMapRef": {"name": "proxy"}}],
        "env": {"HOME": "/cache", "HF_TOKEN": {"secretKeyRef": {"name": "hf", "key": "token"}}},
        "labels": {"team": "a"},
        "annotations": {"note": "b"},
        "podLabels": {"azure.workload.identity/use": "true"},
        "podAnnotations": {"sidecar.istio.io/inject": "true"},
        "suspend": True,
    }
    job = rendered(run("score", **given, **more))
    pod = pod_of(job)
    given["tolerations"] = [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
        *given["tolerations"],
    ]
    assert {key: pod[key] for key in given} == given
    [container] = pod["containers"]
    assert (container["image"], container["imagePullPolicy"]) == ("r/i@sha256:" + "0" * 64, "Always")
    assert container["resources"] == {
        "requests": {"cpu": "8", "memory": "32Gi", "ephemeral-storage": "10Gi", "nvidia.com/gpu": 1},
        "limits": {"cpu": "16", "memory": "32Gi", "ephemeral-storage": "10Gi", "nvidia.com/gpu": 1},
    }
    assert pod["securityContext"]["runAsUser"] == 1_000_650_000
    assert {volume.pop("name"): volume for volume in pod["volumes"]} == {
        "scratch": {"emptyDir": {"sizeLimit": "50Gi"}},
        "shm": {"emptyDir": {"medium": "Memory", "sizeLimit": "8Gi"}},
        "cache": {"persistentVolumeClaim": {"claimName": "cache"}},
    }
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/tmp", "/dev/shm", "/cache"}
    assert container["envFrom"] == [{"secretRef": {"name": "s3"}}, {"configMapRef": {"name": "proxy"}}]
    assert env_of(pod) == {
        "HOME": "/cache",
        "USER": "datascaler",
        "HF_TOKEN": {"secretKeyRef": {"name": "hf", "key": "token"}},
    }
    assert job["metadata"]["labels"]["team"] == "a"
    assert job["metadata"]["annotations"] == {"note": "b"}
    metadata = job["spec"]["template"]["metadata"]
    assert (
        metadata["labels"]["azure.workload.identity/use"]
        == metadata["annotations"]["sidecar.istio.io/inject"]
        == "true"
    )
    assert job["spec"]["suspend"] is True
    assert breaches(pod) == []


@pytest.mark.parametrize("backend", ["pytorchjob", "job"])
def test_queues(backend: str) -> None:
    def with_queue(system: str) -> tuple[Json, Json, Json]:
        queue = {"system": system, "name": "research"} | ({"priorityClass": "high"} if system == "kueue" else {})
        job = rendered(run("train", train={"backend": backend}, queue=queue))
        spec = job["spec"]
        template = spec.get("template") or spec["pytorchReplicaSpecs"]["Worker"]["template"]
        return job, job["metadata"]["labels"], template

    _, labels, pod = with_queue("kueue")
    assert labels["kueue.x-k8s.io/queue-name"] == "research"
    assert labels["kueue.x-k8s.io/priority-class"] == "high"
    assert "schedulerName" not in pod["spec"]
    _, labels, pod = with_queue("kai")
    assert labels["kai.scheduler/queue"] == pod["metadata"]["labels"]["kai.scheduler/queue"] == "research"
    assert pod["spec"]["schedulerName"] == "kai-scheduler"
    job, _, pod = with_queue("volcano")
    assert pod["spec"]["schedulerName"] == "volcano"
    assert pod["metadata"]["annotations"]["scheduling.volcano.sh/queue-name"] == "research"
    if backend == "pytorchjob":
        assert job["spec"]["runPolicy"]["schedulingPolicy"]["queue"] == "research"


def test_pod_overlay_merges_as_kubectl_patch_does() -> None:
    overlay = {
        "metadata": {"labels": {"extra": "yes"}},
        "spec": {
            "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["cache"]}],
            "automountServiceAccountToken": True,
            "terminationGracePeriodSeconds": None,
            "tolerations": [],
            "containers": [
                {
                    "name": "datascaler",
                    "env": [{"name": "HOME", "value": "/home"}, {"name": "MORE", "value": "1"}],
                    "volumeMounts": [{"mountPath": "/dev/shm", "readOnly": True}],
                },
                {"name": "sidecar", "image": "i"},
            ],
        },
    }
    [plain, job] = manifests(RUN_CHART, {"runs": [run("score"), run("score", name="two", podOverlay=overlay)]})
    pod = pod_of(job)
    assert job["spec"]["template"]["metadata"]["labels"]["extra"] == "yes"
    assert pod["automountServiceAccountToken"] is True
    assert pod["tolerations"] == []
    assert "terminationGracePeriodSeconds" not in pod
    ours, sidecar = pod["containers"]
    assert sidecar == {"name": "sidecar", "image": "i"}
    before = pod_of(plain)["containers"][0]
    assert {key for key in ours if ours[key] != before[key]} == {"env", "volumeMounts"}
    assert env_of({"containers": [ours]}) == {"HOME": "/home", "USER": "datascaler", "MORE": "1"}
    assert ours["volumeMounts"][1] == {"name": "shm", "mountPath": "/dev/shm", "readOnly": True}
    assert pod["volumes"] == pod_of(plain)["volumes"]


def test_a_run_of_a_list_is_laid_over_what_all_share() -> None:
    shared = {"kind": "score", "env": {"A": "1", "B": "1"}, "maxFailedIndexes": 1, "tolerations": [{"key": "spot"}]}
    command = ["datascaler", "score"]
    first = {"name": "first", "command": command}
    second: Json = first | {
        "name": "second",
        "env": {"B": "2"},
        "maxFailedIndexes": None,
        "tolerations": [],
        "suspend": False,
    }
    one, two = manifests(RUN_CHART, shared | {"suspend": True, "runs": [first, second]})
    assert (one["metadata"]["name"], two["metadata"]["name"]) == ("first", "second")
    assert (one["spec"]["suspend"], two["spec"]["suspend"]) == (True, False)
    assert (one["spec"]["maxFailedIndexes"], "maxFailedIndexes" in two["spec"]) == (1, False)
    assert (env_of(pod_of(one))["B"], env_of(pod_of(two))["B"], env_of(pod_of(two))["A"]) == ("1", "2", "1")
    assert [toleration["key"] for toleration in pod_of(two)["tolerations"]] == ["nvidia.com/gpu"]
    assert [toleration["key"] for toleration in pod_of(one)["tolerations"]] == ["nvidia.com/gpu", "spot"]


def test_a_thousand_runs_are_rendered_in_one_call_of_seconds() -> None:
    runs = [
        {"name": f"lr-{point:04}", "command": ["datascaler", "train", "--lr", f"{point}e-6", "--use-mup"]}
        for point in range(1000)
    ]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = template(RUN_CHART, {"kind": "train", "gpu": {"count": 8}, "runs": runs})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    # CPU time, which a busy machine does not stretch.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 20
    documents = [document for document in yaml.load_all(done.stdout, yaml.CSafeLoader) if document]
    assert [document["metadata"]["name"] for document in documents] == [each["name"] for each in runs]
    commands = {json.dumps(pod_of(document)["containers"][0]["command"]) for document in documents}
    assert len(commands) == 1000
