"""Whether everything is there that runs need, each thing with its remedy."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from datascaler import storage
from datascaler.cluster.kube.api import Api
from datascaler.cluster.kube.api_paths import path_of
from datascaler.cluster.kube.defaults import CONFIG_MAP, has_operator, read_defaults
from datascaler.cluster.kube.helm import helm_program
from datascaler.cluster.watch.status import require_namespace
from datascaler.data.pool.shards import list_pool, told
from datascaler.errors import DatascalerError

_NEEDED = {
    ("batch", "jobs"): ("get", "list", "create", "patch", "delete"),
    ("kubeflow.org", "pytorchjobs"): ("get", "list", "create", "delete"),
    ("kubeflow.org", "pytorchjobs/scale"): ("patch",),
    ("", "services"): ("list", "create"),
    ("", "pods"): ("get", "list"),
    ("", "pods/log"): ("get",),
    ("", "events"): ("list",),
}


@dataclass(frozen=True, slots=True)
class Finding:
    check: str
    ok: bool
    said: str
    is_fatal: bool = True


def examine(api: Api, namespace: str, data_dir: str | None = None, output_dir: str | None = None) -> Iterator[Finding]:
    """One finding a check, as each is done. Creates nothing in the cluster; a probe in output_dir is removed again."""
    yield _try("API server", lambda: f"Kubernetes {api.get('/version')['gitVersion']}")
    yield _rights(api, namespace)
    yield _operator(api)
    yield _try("helm", helm_program)
    yield _defaults(api, namespace)
    if data_dir:
        yield _try("data-dir", lambda: _readable(data_dir))
    if output_dir:
        yield _try("output-dir", lambda: _writable(output_dir))


def _try(check: str, act: Callable[[], str]) -> Finding:
    try:
        return Finding(check, True, act())
    except DatascalerError as error:
        return Finding(check, False, str(error))


def _rights(api: Api, namespace: str) -> Finding:
    """Asks the server what we may do; needs no right of its own."""
    try:
        require_namespace(api, namespace)
        answer = _review(api, "SelfSubjectRulesReview", {"namespace": namespace})
        rules = answer.get("resourceRules") or []
        missing = [
            (group, resource, verb)
            for (group, resource), verbs in _NEEDED.items()
            for verb in verbs
            if not any(_allows(rule, group, resource, verb) for rule in rules)
        ]
        if answer.get("incomplete"):
            # Where a webhook decides, the server can't list what it would allow, but answers when asked for one thing.
            missing = [each for each in missing if not _may(api, namespace, *each)]
    except DatascalerError as error:
        return Finding("rights", False, str(error))
    if missing:
        actions = ", ".join(f"{verb} {resource}" for _, resource, verb in missing)
        remedy = "bind the Role datascaler-launcher to you (rbac.subjects of the chart datascaler)"
        return Finding("rights", False, f"in namespace {namespace} you may not {actions}; {remedy}")
    return Finding("rights", True, f"may submit, watch, scale and cancel runs in namespace {namespace}")


def _may(api: Api, namespace: str, group: str, resource: str, verb: str) -> bool:
    kind, _, part = resource.partition("/")
    asked = {"namespace": namespace, "group": group, "resource": kind, "subresource": part, "verb": verb}
    return bool(_review(api, "SelfSubjectAccessReview", {"resourceAttributes": asked}).get("allowed"))


def _review(api: Api, kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec}
    status: dict[str, Any] = api.create(f"/apis/authorization.k8s.io/v1/{kind.lower()}s", body).get("status") or {}
    return status


def _allows(rule: dict[str, list[str]], group: str, resource: str, verb: str) -> bool:
    return (
        not rule.get("resourceNames")
        and bool({group, "*"} & set(rule.get("apiGroups") or ()))
        and bool({resource, "*"} & set(rule.get("resources") or ()))
        and bool({verb, "*"} & set(rule.get("verbs") or ()))
    )


def _operator(api: Api) -> Finding:
    try:
        if has_operator(api):
            return Finding("training operator", True, "PyTorchJob is there")
    except DatascalerError as error:
        return Finding("training operator", False, str(error))
    return Finding("training operator", False, "absent: training runs as an Indexed Job", is_fatal=False)


def _defaults(api: Api, namespace: str) -> Finding:
    try:
        values = read_defaults(api, namespace)
    except DatascalerError as error:
        return Finding("defaults", False, str(error))
    if values is None:
        remedy = f"helm install datascaler charts/datascaler --namespace {namespace}"
        return Finding("defaults", False, f"no ConfigMap {CONFIG_MAP}; {remedy}", is_fatal=False)
    account = str(values.get("serviceAccountName") or "default")
    try:
        if api.get_or_none(path_of("ServiceAccount", namespace, account)) is None:
            return Finding("defaults", False, f"service account {account} does not exist; no pod could be created")
    except DatascalerError as error:
        return Finding("defaults", False, str(error))
    return Finding("defaults", True, f"ConfigMap {CONFIG_MAP}, service account {account}")


def _readable(url: str) -> str:
    shards, passed_over = list_pool(url)
    return f"{url}: {len(shards):,} shards" + (f"; {told(passed_over)}" if passed_over else "")


def _writable(url: str) -> str:
    storage.check_writable(url)
    return f"{url} can be written to"
