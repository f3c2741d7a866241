"""Values -> manifests, by one call of `helm template`; the chart is the one source of every manifest."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import datascaler
from datascaler.errors import ClusterError, ConfigError

RUN_CHART = "datascaler-run"
_LONGEST_NAME = 317
"""The name of a label or annotation has at most a domain of 253 letters, a slash and 63.

YAML's own limit is 1,024 bytes, quoted.
"""
_LONGEST_SECONDS = 120
"""The time that helm has to render a release."""
_PACKAGE = Path(datascaler.__file__).parent
_CHECKOUT = _PACKAGE.parent.parent


def chart_folder(name: str) -> Path:
    """Inside the installed package, or in the checkout."""
    installed = _PACKAGE / "charts" / name
    return installed if installed.is_dir() else _CHECKOUT / "charts" / name


def helm_program() -> str:
    """$DATASCALER_HELM, else the one on PATH, else the checkout's own."""
    in_checkout = _CHECKOUT / ".tools" / "bin" / "helm"
    found = os.environ.get("DATASCALER_HELM") or shutil.which("helm") or (in_checkout.exists() and str(in_checkout))
    if not found:
        raise ClusterError("helm is not on PATH; install helm 3.14 or newer (or name it in DATASCALER_HELM)")
    return found


def render(name: str, namespace: str, values: Mapping[str, Any], kubernetes: str | None = None) -> str:
    """The manifests of a release as YAML text, comments and all.

    kubernetes: the version to render for; helm's own idea of it if not given.
    Raises ConfigError where the schema or the chart refuses a value.
    """
    command = [helm_program(), "template", name, str(chart_folder(RUN_CHART)), "--namespace", namespace]
    command += ["--kube-version", kubernetes] if kubernetes else []
    given = as_yaml(values)
    try:
        done = subprocess.run(
            [*command, "--values", "-"],
            input=given,
            capture_output=True,
            encoding="utf-8",
            check=False,
            timeout=_LONGEST_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"helm rendered nothing in {_LONGEST_SECONDS} s: {command[0]}") from error
    except OSError as error:
        raise ClusterError(f"helm can't be started: {command[0]}: {error.strerror}") from error
    if done.returncode:
        raise ConfigError(f"the values of run {name} were refused: {_plain(done.stderr)}")
    return done.stdout


def as_yaml(values: Any, *, sort_names: bool = False) -> str:
    """JSON, which is YAML and quick to write; but YAML has no pairs of escapes for one character, and fewer plain ones.

    Raises ConfigError for what is no text in UTF-8, for the control characters that YAML takes for ends of lines, for
    those that helm's own writer does not write, and for names that are longer than YAML's readers follow one.
    """
    for name in _names_in(values):
        if len(name) > _LONGEST_NAME:
            raise ConfigError(f"a name among the values has {len(name):,} letters: {name[:20]}...")
    text = json.dumps(values, ensure_ascii=False, sort_keys=sort_names)
    if lone := re.search("[\x7f-\x9f\ud800-\udfff\ufffe\uffff]", text):
        around = text[max(0, lone.start() - 20) : lone.end() + 20].encode("ascii", "backslashreplace").decode()
        raise ConfigError(f"a value holds a character that no manifest can: ...{around}...")
    return re.sub("[\u2028\u2029\ufeff]", lambda odd: f"\\u{ord(odd[0]):04x}", text)


def _names_in(values: Any) -> Iterator[str]:
    if isinstance(values, Mapping):
        yield from map(str, values)
    for each in values.values() if isinstance(values, Mapping) else values if isinstance(values, list) else ():
        yield from _names_in(each)


def objects_of(text: str) -> list[dict[str, Any]]:
    """The rendered text as objects, in its order."""
    import yaml

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        """Helm leaves some texts without quotes that are more than texts to PyYAML: `=`, and `<<` as a value."""

    for tag in ("value", "merge"):
        Loader.add_constructor(f"tag:yaml.org,2002:{tag}", Loader.construct_yaml_str)
    return [each for each in yaml.load_all(text, Loader) if each]


def _plain(message: str) -> str:
    """What helm said against the values, without the path of the template and the words around it."""
    lines = [line.strip() for line in message.removeprefix("Error: ").splitlines() if line.strip()]
    against_schema = [line.removeprefix("- at ").removeprefix("- ") for line in lines if line.startswith("- ")]
    said = against_schema or [line for line in lines if not line.startswith(("Use --debug", "level=", "time="))]
    return "; ".join(re.sub(r"^execution error at \([^)]*\): (run \S+: )?", "", line) for line in said)
