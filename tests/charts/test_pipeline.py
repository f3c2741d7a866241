"""charts/datascaler-run: the driver of a pipeline."""

from tests.charts.restricted import breaches
from tests.charts.runs import Json, env_of, pod_of, rendered, run

WORKERS: Json = {
    "image": {"repository": "worker"},
    "gpu": {"count": 8},
    "resources": {"cpu": "96", "memory": "800Gi"},
    "nodeSelector": {"pool": "gpu"},
    "tolerations": [{"key": "spot", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
    "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}],
    "priorityClassName": "high",
    "runtimeClassName": "nvidia",
    "serviceAccountName": "worker",
    "queue": {"system": "kai", "name": "research"},
}
"""What a namespace's defaults say about the pods of the steps."""


def test_the_driver_is_one_small_pod_that_may_speak_to_kubernetes() -> None:
    job = rendered(run("pipeline"))
    assert (job["spec"]["completions"], job["spec"]["backoffLimit"]) == (1, 10)
    assert rendered(run("pipeline", backoffLimit=2))["spec"]["backoffLimit"] == 2
    pod = pod_of(job)
    assert (pod["restartPolicy"], pod["serviceAccountName"]) == ("Never", "datascaler-launcher")
    assert pod["automountServiceAccountToken"] is True
    [container] = pod["containers"]
    assert container["image"] == "datascaler-launcher:0.1.0"
    assert container["resources"] == {
        "requests": {"cpu": "100m", "memory": "512Mi"},
        "limits": {"memory": "512Mi"},
    }
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/tmp"]
    assert breaches(pod) == []


def test_what_is_said_about_the_workers_is_not_for_the_driver() -> None:
    assert rendered(run("pipeline", **WORKERS)) == rendered(run("pipeline"))


def test_the_driver_has_words_of_its_own() -> None:
    launcher = {
        "image": {"repository": "r/launcher", "tag": "2", "pullPolicy": "Always"},
        "serviceAccountName": "submitter",
        "resources": {"cpu": "1", "memory": "1Gi"},
        "nodeSelector": {"pool": "cpu"},
        "tolerations": [{"key": "cpu", "operator": "Exists"}],
    }
    pod = pod_of(rendered(run("pipeline", **WORKERS, launcher=launcher)))
    [container] = pod["containers"]
    assert (container["image"], container["imagePullPolicy"]) == ("r/launcher:2", "Always")
    assert container["resources"]["requests"] == {"cpu": "1", "memory": "1Gi"}
    given = {key: launcher[key] for key in ("serviceAccountName", "nodeSelector", "tolerations")}
    assert {key: pod[key] for key in given} == given


def test_storage_and_volumes_are_for_the_driver_too() -> None:
    given: Json = {
        "storage": {"secretName": "s3"},
        "env": {"AWS_REGION": "eu-central-1"},
        "envFrom": [{"configMapRef": {"name": "proxy"}}],
        "volumes": [{"name": "ca", "configMap": {"name": "ca"}}],
        "volumeMounts": [{"name": "ca", "mountPath": "/ca"}],
        "podSecurityContext": {"runAsUser": 1000},
        "imagePullSecrets": [{"name": "regcred"}],
        "logs": "s3://bucket/logs",
    }
    pod = pod_of(rendered(run("pipeline", **given)))
    [container] = pod["containers"]
    assert container["envFrom"] == [{"secretRef": {"name": "s3"}}, *given["envFrom"]]
    env = env_of(pod)
    assert (env["AWS_REGION"], env["DATASCALER_LOG_DIR"]) == ("eu-central-1", "s3://bucket/logs")
    assert given["volumes"][0] in pod["volumes"]
    assert given["volumeMounts"][0] in container["volumeMounts"]
    assert pod["securityContext"]["runAsUser"] == 1000
    assert pod["imagePullSecrets"] == given["imagePullSecrets"]
