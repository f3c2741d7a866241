"""Machines with habits of their own: what `datascaler` is run under, as a command that runs another one."""

import os
import shlex
from collections.abc import Iterable
from pathlib import Path

HOST = "a host whose own name does not resolve"
SHARED_MEMORY = "64 KB of shared memory"
NOBODY_READS = "stderr closed"
FULL = "stderr on a full disk"
LONG = "a TMPDIR of 150 characters"
SHADOWS = "modules of other names in the working folder"
_SCRIPTS = {
    HOST: 'hostname node.invalid; exec "$@"',
    SHARED_MEMORY: 'mount -t tmpfs -o size=64k none /dev/shm && exec "$@"',
    NOBODY_READS: 'exec "$@" 2>&-',
    FULL: 'exec "$@" 2>/dev/full',
    LONG: f'export TMPDIR="$FOLDER/{"t" * 150}"; mkdir "$TMPDIR"; exec "$@"',
    SHADOWS: """
mkdir "$FOLDER/here"; cd "$FOLDER/here"
for name in types socket pickle signal torch numpy fsspec datascaler; do echo "raise SystemExit(1)" >$name.py; done
exec "$@"
""",
}
SURROUNDINGS = tuple(_SCRIPTS)
TRIES = 3
"""Of so many runs one must be quick: others may have the machine for a while."""
STOP_SECONDS = 5
RESULT_SECONDS = 30


def under(names: Iterable[str], folder: Path) -> list[str]:
    """The words before a command that is to be run so; the folder is empty, and this command's own."""
    as_root = [] if os.getuid() == 0 else ["-r"]
    words = ["unshare", *as_root, "--uts", "--mount"]
    for name in names:
        words += ["sh", "-c", f"FOLDER={shlex.quote(str(folder))}; {_SCRIPTS[name]}", "sh"]
    return words
