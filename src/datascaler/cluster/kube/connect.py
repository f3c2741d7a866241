"""The API client and the namespace that kubeconfig, or the pod that this runs in, names."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from kubernetes import client, config
from kubernetes.config.config_exception import ConfigException
from urllib3.exceptions import HTTPError
from urllib3.util import make_headers

from datascaler.cluster.kube.api import Api
from datascaler.cluster.kube.identity import authenticate, impersonation
from datascaler.cluster.kube.kubeconfig import KubeContext, read_context
from datascaler.cluster.kube.names import check_namespace
from datascaler.cluster.kube.proxy import proxy_for
from datascaler.errors import ClusterError

_IN_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@dataclass(frozen=True, slots=True)
class Cluster:
    api: Api
    namespace: str


def connect(namespace: str | None = None, context: str | None = None, kubeconfig: str | None = None) -> Cluster:
    """What is not given comes from $KUBECONFIG or ~/.kube/config and its context, else from the pod around us.

    Raises ConfigError for a namespace that can't be one, ClusterError where no cluster is meant, or it can't be used.
    """
    if namespace:
        check_namespace(namespace)
    try:
        found = read_context(kubeconfig, context)
        if found is None and (kubeconfig or context or not _IN_POD.exists()):
            raise ClusterError("no kubeconfig names one")
        api, own = _by_kubeconfig(found) if found else _from_pod()
    except (ClusterError, ConfigException) as error:
        raise ClusterError(f"no cluster to talk to: {error}; give --kubeconfig or --context") from error
    return Cluster(api, namespace or check_namespace(own or "default"))


def _from_pod() -> tuple[Api, str]:
    settings = client.Configuration()
    config.load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call]
    _go_by_proxy(settings)
    return Api(client.ApiClient(settings)), _IN_POD.read_text().strip()


def _by_kubeconfig(context: KubeContext) -> tuple[Api, str]:
    settings = client.Configuration()
    settings.host = _server(context.cluster["server"])
    # To a server without TLS kubectl sends nothing of the user's.
    identity = authenticate(settings, context) if settings.host.startswith("https://") else None
    _go_by_proxy(settings, context.cluster.get("proxy-url", ""))
    try:
        transport = client.ApiClient(settings)
    except (HTTPError, ImportError) as error:
        raise ClusterError(f"the proxy can't be used: {error}") from error
    for name, value in impersonation(context.user).items():
        transport.set_default_header(name, value)  # type: ignore[no-untyped-call]
    api = Api(transport)
    if identity:
        identity.transport, api.renew = transport, identity.renew
    return api, context.namespace


def _server(text: str) -> str:
    """The URL that all paths go behind."""
    url = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(url)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        is_url = False
    if not is_url:
        raise ClusterError(f"the kubeconfig's server {text!r} is not a URL; write https://HOST:PORT")
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))


def _go_by_proxy(settings: client.Configuration, proxy_url: str = "") -> None:
    """Decided here: what the client makes of the environment differs from release to release."""
    settings.proxy, settings.no_proxy = proxy_for(settings.host, proxy_url), None
    parts = urlsplit(settings.proxy or "")
    if parts.username is not None:
        secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        settings.proxy_headers = make_headers(proxy_basic_auth=secret)
