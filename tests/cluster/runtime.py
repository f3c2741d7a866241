"""containerd for this cluster alone: its own folders, socket and configuration beside whatever else runs here."""

import subprocess
from pathlib import Path

from tests.cluster import layout, packages, processes

PAUSE_IMAGE = "localhost/pause:1"
_CONFIGURATION = """\
version = 2
root = "{folder}/containerd"
state = "{folder}/containerd-state"
[grpc]
  address = "{socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{folder}/containerd-opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause_image}"
  # Lowering oom_score_adj needs CAP_SYS_RESOURCE; without it no sandbox would start.
  restrict_oom_score_adj = true
  # One unmount of this folder then ends a killed pod's network namespace too.
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni_folder}"
    conf_dir = "{folder}/cni"
"""


def start_containerd() -> processes.Process:
    folder = layout.state_folder()
    configuration = folder / "containerd.toml"
    configuration.write_text(
        _CONFIGURATION.format(
            folder=folder,
            socket=layout.containerd_socket(),
            pause_image=PAUSE_IMAGE,
            cni_folder=packages.CNI_FOLDER,
        )
    )
    return processes.start("containerd", [packages.path_of("containerd"), f"--config={configuration}"])


def containerd_answers() -> bool:
    return layout.containerd_socket().exists() and _run("version").returncode == 0


def remove_containers() -> None:
    """Forget containers of a cluster that is gone; images stay."""
    names = ctr("containers", "list", "--quiet").split()
    if names:
        ctr("containers", "delete", *names)


def import_image(archive: Path) -> None:
    """Make the images of an OCI (or docker) archive known to the node, under the names in it."""
    ctr("images", "import", str(archive))


def has_image(name: str) -> bool:
    """By its full name, such as localhost/busybox:1."""
    return name in ctr("images", "list", "--quiet").split()


def ctr(*arguments: str) -> str:
    done = _run(*arguments)
    if done.returncode != 0:
        raise RuntimeError(f"ctr {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def _run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [packages.path_of("ctr"), f"--address={layout.containerd_socket()}", "--namespace=k8s.io", *arguments]
    return subprocess.run(command, capture_output=True, text=True)
