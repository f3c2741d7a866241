"""Work on somebody else's file by a library that such a file may crash: in a child process, under limits.

A reader in native code that trusts what it reads follows wrong places, asks for all memory or goes on for ever, and
then no `except` helps. In a child the system ends it, and the file is refused by name.
"""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import IO

from datascaler.errors import ConfigError
from datascaler.safe_text import safe_message
from datascaler.stop import held_back
from datascaler.tools.child_processes import child_environment, end_with_parent

_REFUSED, _NO_MEMORY, _TOO_LONG = 3, 4, 5
"""Exit codes of the child."""
_LONGEST_REASON = 1 << 12
_WALL_SECONDS_EACH = 30
"""How much longer than its CPU time a child may take, on a machine that does other things."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the child may take, beyond what it has taken when its module is imported."""

    memory_bytes: int
    cpu_seconds: int
    output_bytes: int


def run_contained(function: str, path: str, output: IO[bytes], limits: Limits) -> None:
    """Call `module:function` with a file's path, and with `output`, in a child process.

    Raises ConfigError, with the reason only, where the function does, and where the child crashes or meets a limit.
    """
    asked = [function, path, limits.memory_bytes, limits.cpu_seconds, limits.output_bytes]
    # As multiprocessing starts its children: what can be imported here can be imported there.
    code = f"import sys; sys.path[:] = {sys.path!r}; from datascaler.tools.contained import work; work()"
    with tempfile.TemporaryFile() as said:
        with held_back():
            child = subprocess.Popen(
                [sys.executable, "-c", code, json.dumps(asked)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=said,
                env=os.environ | child_environment(),
            )
        try:
            exit_code = child.wait(limits.cpu_seconds * _WALL_SECONDS_EACH)
        except subprocess.TimeoutExpired:
            exit_code = -signal.SIGXCPU
        finally:
            child.kill()
            child.wait()
        said.seek(0)
        reason = said.read(_LONGEST_REASON).decode("utf-8", "replace")
    if exit_code:
        raise ConfigError(_reason(exit_code, reason, limits))


def _reason(exit_code: int, said: str, limits: Limits) -> str:
    if exit_code == _REFUSED:
        return said
    if exit_code == _NO_MEMORY:
        return f"to read it would take more than {limits.memory_bytes >> 20:,} MB of memory"
    if exit_code == _TOO_LONG:
        return f"it gives more than {limits.output_bytes:,} bytes"
    if exit_code == -signal.SIGXCPU:
        return f"to read it takes more than {limits.cpu_seconds:,} s"
    what = signal.Signals(-exit_code).name if exit_code < 0 else " ".join(said.splitlines()[-1:])
    return f"it is damaged, or was made to do harm: the library that reads it crashes ({what})"


def work() -> None:
    """The child's whole life; what it is to do stands on its command line."""
    end_with_parent()
    function, path, memory_bytes, cpu_seconds, output_bytes = json.loads(sys.argv[1])
    module, _, name = function.partition(":")
    act = getattr(import_module(module), name)
    _limit(memory_bytes, cpu_seconds, output_bytes)
    exit_code, reason = 0, ""
    try:
        with os.fdopen(os.dup(1), "wb") as output:
            act(path, output)
    except ConfigError as error:
        exit_code, reason = _REFUSED, str(error)
    except MemoryError:
        exit_code = _NO_MEMORY
    except OSError as error:
        exit_code, reason = (_TOO_LONG, "") if error.errno == errno.EFBIG else (_REFUSED, safe_message(str(error)))
    os.write(2, reason.encode())
    # Not by the interpreter's own way out: to take a damaged structure down may crash as well.
    os._exit(exit_code)


def _limit(memory_bytes: int, cpu_seconds: int, output_bytes: int) -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu_limit = int(used.ru_utime + used.ru_stime) + 1 + cpu_seconds
    wanted = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: output_bytes,
        resource.RLIMIT_CPU: cpu_limit,
    }
    with suppress(OSError):  # a system without /proc
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        wanted[resource.RLIMIT_AS] = pages * resource.getpagesize() + memory_bytes
    for kind, limit in wanted.items():
        with suppress(ValueError, OSError):  # lower already
            # At the soft limit of its time a process is told so; at the hard one it is killed without a word.
            resource.setrlimit(kind, (limit, limit + (kind == resource.RLIMIT_CPU)))
