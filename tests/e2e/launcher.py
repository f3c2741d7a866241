"""`datascaler` as a researcher types it: a process of its own, with the rights of the chart's Role and no more."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.until import until


@dataclass(frozen=True, slots=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        return self.out + self.err


@dataclass(frozen=True, slots=True)
class Launcher:
    kubeconfig: Path
    namespace: str
    environment: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str, code: int | None = 0, timeout: float = 600) -> Done:
        """Run to the end; another exit code than the expected one is an error with all that was said."""
        process = self.start(*arguments)
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise AssertionError(f"datascaler {' '.join(arguments)} took over {timeout} s:\n{out}\n{err}") from None
        if code is not None:
            assert process.returncode == code, f"datascaler {' '.join(arguments)}: {process.returncode}\n{out}\n{err}"
        return Done(process.returncode, out, err)

    def start(self, *arguments: str, out: Any = subprocess.PIPE) -> "subprocess.Popen[str]":
        environment = os.environ | self.environment | {"KUBECONFIG": str(self.kubeconfig)}
        # A shell that starts tests in the background has them ignore Ctrl-C, and their children inherit that.
        command = ["env", "--default-signal=INT", str(Path(sys.executable).parent / "datascaler"), *arguments]
        err = subprocess.STDOUT if out is not subprocess.PIPE else subprocess.PIPE
        return subprocess.Popen(command, env=environment, stdout=out, stderr=err, text=True)

    def submit(self, *arguments: str) -> str:
        """The run's name."""
        return self("submit", *arguments).out.strip().rpartition("/")[2]

    def status(self, name: str) -> Any:
        """The one run of that name, as JSON."""
        [run] = json.loads(self("status", name, "--json", code=None).out)["runs"]
        return run

    def await_state(self, name: str, wanted: Callable[[Any], bool], what: str, seconds: float = 300) -> Any:
        """The status once it is as wanted."""
        latest: list[Any] = []

        def reached() -> bool:
            latest[:] = [self.status(name)]
            return wanted(latest[0])

        until(reached, f"{name}: {what}", seconds, lambda: str(latest))
        return latest[0]
