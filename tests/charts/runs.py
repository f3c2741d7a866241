"""Small runs, and what the chart makes of them."""

from typing import Any

from tests.charts.render import KUBERNETES, RUN_CHART, manifests

Json = dict[str, Any]


def run(kind: str, **more: Any) -> Json:
    """Values of a small run."""
    command = ["datascaler", kind]
    if more.get("completions", 1) > 1:
        command += ["--count", str(more["completions"])]
    return {"kind": kind, "name": "my-run", "command": command} | more


def rendered(values: Json, kubernetes: str = KUBERNETES) -> Json:
    """The Job or PyTorchJob, which comes last."""
    return manifests(RUN_CHART, values, kubernetes=kubernetes)[-1]


def pod_of(job: Json) -> Json:
    spec = job["spec"]
    template = spec["pytorchReplicaSpecs"]["Worker"]["template"] if job["kind"] == "PyTorchJob" else spec["template"]
    pod: Json = template["spec"]
    return pod


def env_of(pod: Json) -> Json:
    """Values by name; references as they are."""
    [container] = pod["containers"]
    names = [each["name"] for each in container["env"]]
    assert len(set(names)) == len(names)
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container["env"]}
