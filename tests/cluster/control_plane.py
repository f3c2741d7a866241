"""The control plane: etcd, the API server, the controller manager and the scheduler."""

from http.client import HTTPConnection
from urllib.parse import urlsplit

from tests.cluster import kubectl, layout, processes
from tests.cluster.certificates import certificate, key


def start_etcd() -> processes.Process:
    """An empty store: a cluster starts fresh, so nothing is worth an fsync."""
    command = [
        f"--data-dir={layout.state_folder() / 'etcd'}",
        "--unsafe-no-fsync",
        f"--listen-client-urls={layout.ETCD_URL}",
        f"--advertise-client-urls={layout.ETCD_URL}",
        f"--listen-peer-urls={layout.ETCD_PEER_URL}",
        f"--initial-advertise-peer-urls={layout.ETCD_PEER_URL}",
        f"--initial-cluster=default={layout.ETCD_PEER_URL}",
        "--log-level=warn",
    ]
    return _start("etcd", command)


def start_api_server() -> processes.Process:
    command = [
        f"--etcd-servers={layout.ETCD_URL}",
        f"--client-ca-file={certificate('ca')}",
        f"--tls-cert-file={certificate('apiserver')}",
        f"--tls-private-key-file={key('apiserver')}",
        f"--kubelet-client-certificate={certificate('apiserver-kubelet')}",
        f"--kubelet-client-key={key('apiserver-kubelet')}",
        # The node's name needn't resolve.
        "--kubelet-preferred-address-types=InternalIP",
        f"--service-account-key-file={layout.certificates() / 'service-accounts.pub'}",
        f"--service-account-signing-key-file={key('service-accounts')}",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-cluster-ip-range={layout.SERVICE_RANGE}",
        "--authorization-mode=Node,RBAC",
        "--allow-privileged=true",
        "--secure-port=6443",
        f"--bind-address={layout.NODE_ADDRESS}",
        f"--advertise-address={layout.NODE_ADDRESS}",
        f"--cert-dir={layout.state_folder() / 'apiserver'}",
    ]
    return _start("kube-apiserver", command)


def start_controller_manager() -> processes.Process:
    command = [
        f"--kubeconfig={layout.kubeconfig('kube-controller-manager')}",
        f"--root-ca-file={certificate('ca')}",
        f"--service-account-private-key-file={key('service-accounts')}",
        "--use-service-account-credentials",
        # Kubernetes' own is 50 s since 1.32: a silent node would be told within a minute on most days only.
        "--node-monitor-grace-period=40s",
        f"--cluster-signing-cert-file={certificate('ca')}",
        f"--cluster-signing-key-file={key('ca')}",
        "--leader-elect=false",
        f"--bind-address={layout.NODE_ADDRESS}",
        f"--cert-dir={layout.state_folder() / 'controller-manager'}",
    ]
    return _start("kube-controller-manager", command)


def start_scheduler() -> processes.Process:
    command = [
        f"--kubeconfig={layout.kubeconfig('kube-scheduler')}",
        "--leader-elect=false",
        f"--bind-address={layout.NODE_ADDRESS}",
        f"--cert-dir={layout.state_folder() / 'scheduler'}",
    ]
    return _start("kube-scheduler", command)


def etcd_answers() -> bool:
    # Not urlopen, which would ask a proxy.
    connection = HTTPConnection(urlsplit(layout.ETCD_URL).netloc, timeout=2)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def api_answers() -> bool:
    """Ready, and it has made the roles and the service that every client needs."""
    return kubectl.succeeds("get", "--raw", "/readyz") and kubectl.succeeds("get", "service/kubernetes")


def _start(name: str, arguments: list[str]) -> processes.Process:
    return processes.start(name, [str(layout.binaries() / name), *arguments])
