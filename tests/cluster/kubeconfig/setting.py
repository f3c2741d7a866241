"""The folder and the environment of a case, and what kubectl does in them. `python -m tests.cluster.kubeconfig.setting`
writes down anew what kubectl did in each."""

import base64
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster import layout
from tests.cluster.kubeconfig.cases import CASES, Case
from tests.cluster.kubeconfig.sites import Sites, certificates, sites
from tests.cluster.record import RECORDED

Json = dict[str, Any]
RECORD = RECORDED / "kubeconfigs.json"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A case with all that is filled in."""

    flag: str
    context: str
    namespace: str
    environment: dict[str, str]
    """All of it: variables of ours must not count."""


@contextmanager
def setting(case: Case, there: Sites) -> Iterator[Setting]:
    with tempfile.TemporaryDirectory() as folder:
        words = {"FOLDER": folder} | there.names() | _certificates()

        def filled(text: str) -> str:
            return re.sub(r"\{([A-Z_]+)\}", lambda match: words.get(match[1], match[0]), text)

        for name, content in case.files.items():
            path = Path(folder) / name
            path.parent.mkdir(exist_ok=True)
            text = filled(content if isinstance(content, str) else json.dumps(content))
            path.write_bytes(text.encode("utf-8", "surrogateescape"))
            path.chmod(0o700)
        environment = {"PATH": os.environ["PATH"], "HOME": f"{folder}/nobody"}
        environment |= {"KUBECONFIG": filled(case.kubeconfig)} if case.kubeconfig else {}
        environment |= {name: filled(text) for name, text in case.variables.items()}
        there.seen.clear()
        yield Setting(flag=filled(case.flag), context=case.context, namespace=case.namespace, environment=environment)


def ask_kubectl(found: Setting) -> str:
    """What it says against it, or nothing."""
    given = {"--kubeconfig": found.flag, "--context": found.context, "--namespace": found.namespace}
    flags = [word for flag, text in given.items() if text for word in (flag, text)]
    command = [str(layout.binaries() / "kubectl"), "create", "token", "x", "--request-timeout=10s", *flags]
    done = subprocess.run(
        command, env=found.environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    return done.stderr.strip() if done.returncode else ""


def by_kubectl() -> dict[str, Json]:
    """What arrived of each case, and where nothing did, what kubectl said."""
    answers: dict[str, Json] = {}
    with sites() as there:
        for name, case in CASES.items():
            with setting(case, there) as found:
                said = ask_kubectl(found)
            seen = dict(there.seen[0]) if there.seen else {}
            answers[name] = seen or {"refused": re.sub(r"/tmp/\w+|127.0.0.1:\d+", "...", said).splitlines()[-1:]}
    return answers


def _certificates() -> dict[str, str]:
    found: dict[str, str] = {}
    for name, text in certificates().items():
        upper = name.upper().replace("-", "_")
        found[upper] = text
        found[f"{upper}_DATA"] = base64.b64encode(text.encode()).decode()
        found[f"{upper}_JSON"] = json.dumps(text)
    return found


if __name__ == "__main__":
    RECORD.write_text(json.dumps(by_kubectl(), indent=1, ensure_ascii=False) + "\n")
