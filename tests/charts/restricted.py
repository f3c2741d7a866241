"""Kubernetes' Pod Security Standard `restricted`, as a list of what a pod spec does against it."""

from typing import Any

VOLUMES = {
    *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image"),
    *("persistentVolumeClaim", "projected", "secret"),
}


def breaches(pod: dict[str, Any]) -> list[str]:
    own = pod.get("securityContext", {})
    found = [f"{field} is set" for field in ("hostNetwork", "hostPID", "hostIPC") if pod.get(field)]
    others = [volume["name"] for volume in pod.get("volumes", []) if not set(volume) - {"name"} <= VOLUMES]
    found += [f"volume {name} is not of an allowed type" for name in others]
    if "sysctls" in own or "windowsOptions" in own:
        found.append("sysctls or windowsOptions are set")
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        found += [f"{container['name']}: {breach}" for breach in _of_container(container, own)]
    return found


def _of_container(container: dict[str, Any], pod: dict[str, Any]) -> list[str]:
    context = container.get("securityContext", {})
    both = pod | context
    found = []
    if both.get("runAsNonRoot") is not True:
        found.append("runAsNonRoot is not true")
    if both.get("runAsUser") == 0:
        found.append("runAsUser is 0")
    if both.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
        found.append("seccompProfile is neither RuntimeDefault nor Localhost")
    if context.get("allowPrivilegeEscalation") is not False:
        found.append("allowPrivilegeEscalation is not false")
    if context.get("privileged"):
        found.append("privileged")
    capabilities = context.get("capabilities", {})
    if capabilities.get("drop") != ["ALL"] or set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
        found.append("capabilities are not dropped")
    if any(port.get("hostPort") for port in container.get("ports", [])):
        found.append("a hostPort is set")
    return found
