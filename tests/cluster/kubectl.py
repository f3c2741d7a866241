"""kubectl as the cluster's administrator."""

import os
import subprocess

from tests.cluster import layout


def kubectl(*arguments: str, stdin: str | None = None) -> str:
    """What it prints; a failure raises with its message."""
    done = _run(arguments, stdin)
    if done.returncode != 0:
        raise RuntimeError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def succeeds(*arguments: str) -> bool:
    """For conditions to wait on."""
    return _run(arguments, None).returncode == 0


def _run(arguments: tuple[str, ...], stdin: str | None) -> "subprocess.CompletedProcess[str]":
    command = [str(layout.binaries() / "kubectl"), f"--kubeconfig={layout.kubeconfig()}", *arguments]
    # Nothing of the caller's environment: it may name another cluster, or a proxy.
    environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(layout.state_folder())}
    return subprocess.run(command, input=stdin, capture_output=True, text=True, env=environment)
