"""The cgroup that all pods are under, so that a later clean-up finds them there and nobody else."""

from pathlib import Path

from tests.cluster import layout

_ROOT = Path("/sys/fs/cgroup")


def make_cgroup() -> None:
    """In the one hierarchy of cgroup v2, or in each of v1's."""
    controllers = _ROOT / "cgroup.controllers"
    if controllers.exists():
        wanted = " ".join(f"+{name}" for name in controllers.read_text().split())
        (_ROOT / "cgroup.subtree_control").write_text(wanted)
        folders = [_ROOT]
    else:
        folders = [folder for folder in _ROOT.iterdir() if (folder / "cgroup.procs").exists()]
    for folder in folders:
        (folder / layout.CGROUP).mkdir(exist_ok=True)
