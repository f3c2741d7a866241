"""Names of runs: what a run is called if nobody says, and how one is addressed."""

import hashlib
import json
import re
from collections.abc import Sequence

from datascaler.errors import ConfigError

INSTANCE, RUN = "app.kubernetes.io/instance", "datascaler/run"
"""Labels: the name that a run was submitted by, and that of each run of a list."""
PART_OF = "app.kubernetes.io/part-of=datascaler"
PIPELINE = "datascaler/pipeline"
"""Label of the runs that a pipeline submitted: its name."""
VERB = "app.kubernetes.io/component"
VALUES = "datascaler/values"
"""Annotation: the values that the run was rendered from, as JSON."""

LONGEST = 53
"""Helm's limit for the name of a release; runs of a list have a number after it."""
_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def default_name(verb: str, about: str | None, command: Sequence[str]) -> str:
    """The same for the same command, so that submitting it twice is submitting it once."""
    digest = hashlib.sha256(json.dumps(list(command)).encode()).hexdigest()[:8]
    words = re.sub("[^a-z0-9]+", "-", (about or "").lower()).strip("-")[:20].strip("-")
    return "-".join(word for word in (verb, words, digest) if word)


def check_name(name: str, longest: int = LONGEST) -> str:
    if not _LABEL.fullmatch(name):
        raise ConfigError(
            f"a run can't be called {name!r}: begin with a letter, and use lower-case letters, digits and dashes only"
        )
    if len(name) > longest:
        raise ConfigError(f"the name {name} has {len(name)} characters; at most {longest} are possible")
    return name


def check_namespace(name: str) -> str:
    """Refuse what is no name of a namespace, before it becomes part of a path: `..` would be another one's."""
    if not _NAMESPACE.fullmatch(name):
        raise ConfigError(f"a namespace can't be called {name!r}: write 1 to 63 lower-case letters, digits and dashes")
    return name


def handle(namespace: str, name: str) -> str:
    return f"{namespace}/{name}"


def split_handle(text: str) -> tuple[str | None, str]:
    """`namespace/name`, or `name` in the namespace of the context."""
    namespace, _, name = text.rpartition("/")
    if "/" in namespace or not name:
        raise ConfigError(f"not a run's handle: {text!r} (write NAMESPACE/NAME or NAME)")
    return check_namespace(namespace) if namespace else None, check_name(name, longest=63)
