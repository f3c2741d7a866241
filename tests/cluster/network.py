"""The pods' network: one bridge that this folder owns, and the kernel settings that are put back afterwards."""

import json
import subprocess
from pathlib import Path

import click

from tests.cluster import layout

# The first is ours, the others are set by the kubelet.
_SETTINGS = (
    "net/ipv4/ip_forward",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)


def make_network() -> None:
    """The bridge with the node's address, and a configuration that puts pods on it."""
    if (owner := bridge_owner()) is not None:
        raise click.ClickException(
            f"the interface {layout.BRIDGE} is there already, made for {owner}; "
            "stop that cluster (DATASCALER_CLUSTER_DIR says which)"
        )
    _save_settings()
    prefix = layout.POD_RANGE.partition("/")[2]
    _ip("link", "add", layout.BRIDGE, "type", "bridge")
    _ip("link", "set", layout.BRIDGE, "alias", str(layout.state_folder()))
    _ip("address", "add", f"{layout.NODE_ADDRESS}/{prefix}", "dev", layout.BRIDGE)
    _ip("link", "set", layout.BRIDGE, "up")
    # Packets to an address that is no service (yet) stay here, and a machine without a default route has one for them.
    _ip("route", "add", layout.SERVICE_RANGE, "dev", layout.BRIDGE)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    folder = layout.state_folder() / "cni"
    folder.mkdir(exist_ok=True)
    (folder / "10-datascaler.conflist").write_text(json.dumps(_cni_configuration(), indent=2))


def remove_network() -> None:
    """Take away the bridge and put the kernel settings back."""
    if bridge_owner() is not None:
        _ip("link", "delete", layout.BRIDGE)
    # The plugin's notes on pods; nobody removes them where pods were killed.
    for note in Path("/var/lib/cni/results").glob("datascaler-*"):
        note.unlink(missing_ok=True)
    saved = layout.records() / "settings.json"
    if saved.exists():
        for name, value in json.loads(saved.read_text()).items():
            setting = Path("/proc/sys", name)
            if setting.read_text() != value:
                setting.write_text(value)
        saved.unlink()


def bridge_owner() -> str | None:
    """The state folder that the bridge was made for; None where there is no bridge."""
    found = subprocess.run(["ip", "-json", "link", "show", layout.BRIDGE], capture_output=True, text=True)
    if found.returncode != 0:
        return None
    return str(json.loads(found.stdout)[0].get("ifalias", "somebody else"))


def _cni_configuration() -> dict[str, object]:
    addresses = {
        "type": "host-local",
        "dataDir": str(layout.state_folder() / "pod-addresses"),
        "ranges": [[{"subnet": layout.POD_RANGE, "gateway": layout.NODE_ADDRESS}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {"type": "bridge", "bridge": layout.BRIDGE, "isGateway": True, "hairpinMode": True, "ipam": addresses}
    return {"cniVersion": "0.4.0", "name": "datascaler", "plugins": [bridge]}


def _save_settings() -> None:
    values = {name: Path("/proc/sys", name).read_text() for name in _SETTINGS if Path("/proc/sys", name).exists()}
    (layout.records() / "settings.json").write_text(json.dumps(values))


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
