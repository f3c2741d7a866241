"""The API client and the namespace that kubeconfig, or the pod that this runs in, names."""

from dataclasses import dataclass
from pathlib import Path

import yaml
from kubernetes import client, config
from kubernetes.config.config_exception import ConfigException

from datascaler.cluster.kube.api import Api
from datascaler.errors import ClusterError

_IN_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@dataclass(frozen=True, slots=True)
class Cluster:
    api: Api
    namespace: str


def connect(namespace: str | None = None, context: str | None = None, kubeconfig: str | None = None) -> Cluster:
    """What is not given comes from $KUBECONFIG or ~/.kube/config and its context, else from the pod around us."""
    settings = client.Configuration()
    try:
        config.load_kube_config(  # type: ignore[no-untyped-call]
            config_file=kubeconfig, context=context, client_configuration=settings
        )
        own = _namespace_of_context(kubeconfig, context)
    except yaml.YAMLError as error:
        raise ClusterError(
            f"no cluster to talk to: the kubeconfig is not YAML: {' '.join(str(error).split())}"
        ) from error
    except ConfigException as error:
        if kubeconfig or context or not _IN_POD.exists():
            raise ClusterError(f"no cluster to talk to: {error}; give --kubeconfig or --context") from error
        config.load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call]
        own = _IN_POD.read_text().strip()
    return Cluster(Api(client.ApiClient(settings)), namespace or own or "default")


def _namespace_of_context(kubeconfig: str | None, context: str | None) -> str:
    contexts, current = config.list_kube_config_contexts(config_file=kubeconfig)  # type: ignore[no-untyped-call]
    meant = next((each for each in contexts if each["name"] == context), current)
    return str(meant.get("context", {}).get("namespace") or "")
