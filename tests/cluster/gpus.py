"""Pretended GPUs: the node offers what the scheduler counts, and a pod that asks for it gets no device."""

import json

from tests.cluster import kubectl, layout, processes

_RESOURCE = "nvidia.com/gpu"


def fake_gpus(count: int) -> None:
    """Offer so many; 0 takes the offer back. Returns when pods can be scheduled by it."""
    capacity = {_RESOURCE: str(count) if count else None}
    patch = json.dumps({"status": {"capacity": capacity, "allocatable": capacity}})
    arguments = ("patch", "node", layout.NODE_NAME, "--subresource=status", "--type=merge", f"--patch={patch}")
    kubectl.kubectl(*arguments)
    if not processes.wait(lambda: _offered() == count, 60):
        raise RuntimeError(f"the node offers {_offered()} GPUs, not {count}")


def _offered() -> int:
    path = "{.status.allocatable.nvidia\\.com/gpu}"
    return int(kubectl.kubectl("get", "node", layout.NODE_NAME, f"--output=jsonpath={path}").strip() or 0)
