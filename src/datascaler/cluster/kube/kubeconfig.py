"""What kubeconfigs say, read as kubectl reads them: files merged, one context chosen, what can't be used refused."""

import base64
import binascii
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from datascaler.cluster.kube.api_paths import Json
from datascaler.errors import ClusterError

_LISTS = {"clusters": "cluster", "users": "user", "contexts": "context"}
"""The lists of a kubeconfig, and the key under which each item of one says what it is."""

_PATHS = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
"""Fields that name files, beside the kubeconfig that says so if they are relative."""

_TEXTS = {
    *("server", "tls-server-name", "proxy-url", "certificate-authority", "certificate-authority-data"),
    *("client-certificate", "client-certificate-data", "client-key", "client-key-data", "token", "tokenFile"),
    *("username", "password", "as", "as-uid", "cluster", "user", "namespace"),
}
_TRUTHS = {"insecure-skip-tls-verify", "disable-compression"}
_EXEC_TEXTS = {"command", "apiVersion", "interactiveMode", "installHint"}

EXEC_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")


@dataclass(frozen=True, kw_only=True, slots=True)
class KubeContext:
    """One context, with the cluster and the user that it names: fields as in the file, paths absolute."""

    namespace: str
    cluster: Json
    user: Json


def read_context(kubeconfig: str | None = None, context: str | None = None) -> KubeContext | None:
    """The context that is meant; None where the files name no cluster.

    Files are the one given, else those of $KUBECONFIG, else ~/.kube/config. Of two that say something of the same name,
    the first counts. Raises ClusterError for what kubectl refuses as well.
    """
    loaded = [each for path in _files(kubeconfig) if (each := _load(path, must_exist=bool(kubeconfig))) is not None]
    merged: dict[str, Json] = {name: {} for name in _LISTS}
    for each in reversed(loaded):
        for name in _LISTS:
            merged[name] |= each[name]
    current = next((each["current-context"] for each in loaded if each["current-context"]), "")
    name = context or current
    if name and name not in merged["contexts"]:
        there = ", ".join(sorted(merged["contexts"])) or "none"
        raise ClusterError(f"context {name!r} does not exist (there are: {there})")
    chosen = merged["contexts"].get(name, {})
    cluster = merged["clusters"].get(chosen.get("cluster", ""), {})
    user = merged["users"].get(chosen.get("user", ""), {})
    _check_user(chosen.get("user", ""), user)
    if not cluster:
        return None
    _check_cluster(chosen["cluster"], cluster)
    return KubeContext(namespace=chosen.get("namespace", ""), cluster=cluster, user=user)


def _files(kubeconfig: str | None) -> list[Path]:
    if kubeconfig:
        return [Path(kubeconfig)]
    if named := os.environ.get("KUBECONFIG"):
        return [Path(each) for each in dict.fromkeys(named.split(os.pathsep)) if each]
    return [Path.home() / ".kube" / "config"]


def _load(path: Path, *, must_exist: bool) -> Json | None:
    """The file as {list: {name: what it is}}, and the current context; None where there is no such file."""
    try:
        content = path.read_bytes().decode()
        found = next(iter(yaml.load_all(content, _Loader)), None)
    except FileNotFoundError:
        if must_exist:
            raise ClusterError(f"the kubeconfig {path} does not exist") from None
        return None
    except OSError as error:
        raise ClusterError(f"the kubeconfig {path} can't be read: {error.strerror}") from error
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise ClusterError(f"the kubeconfig {path} is not YAML: {' '.join(str(error).split())}") from error
    try:
        return _checked({} if found is None else found, path.absolute().parent)
    except ValueError as error:
        raise ClusterError(f"the kubeconfig {path} is not valid: {error}") from error


def _checked(found: Any, folder: Path) -> Json:
    """Raises ValueError where the form is not that of a kubeconfig."""
    if not isinstance(found, dict):
        raise ValueError(f"it is {_kind(found)}, not a map")
    for name, wanted in (("kind", "Config"), ("apiVersion", "v1")):
        if found.get(name) not in (None, "", wanted):
            raise ValueError(f"{name} is {found[name]!r}, not {wanted!r}")
    result: Json = {"current-context": _text(found, "current-context", "")}
    for plural, singular in _LISTS.items():
        items = found.get(plural) or []
        if not isinstance(items, list):
            raise ValueError(f"{plural} is {_kind(items)}, not a list")
        result[plural] = {}
        for number, item in enumerate(items):
            where = f"{plural}[{number}]"
            if not isinstance(item, dict):
                raise ValueError(f"{where} is {_kind(item)}, not a map")
            name = _text(item, "name", f"{where}.")
            if name in result[plural]:
                raise ValueError(f"{plural} has the name {name!r} twice")
            result[plural][name] = _fields(item.get(singular), f"{where}.{singular}", folder)
    return result


def _fields(given: Any, where: str, folder: Path) -> Json:
    """The fields that say something. Those that nobody knows are let go, as kubectl does."""
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise ValueError(f"{where} is {_kind(given)}, not a map")
    found: Json = {}
    for name, value in given.items():
        if name in _TEXTS:
            found[name] = _text(given, name, f"{where}.")
        elif name in _TRUTHS and value is not None:
            found[name] = _of_kind(bool, value, f"{where}.{name}")
        elif name == "as-groups" and value is not None:
            found[name] = [_of_kind(str, each, f"{where}.{name}") for each in _of_kind(list, value, f"{where}.{name}")]
        elif name in ("exec", "auth-provider", "as-user-extra") and value is not None:
            found[name] = _of_kind(dict, value, f"{where}.{name}")
        elif name == "extensions":
            found[name] = value
        if name.endswith("-data") and found.get(name):
            _require_base64(found[name], f"{where}.{name}")
    if "exec" in found:
        found["exec"] = _exec(found["exec"], f"{where}.exec", folder)
    for name in _PATHS:
        if found.get(name):
            found[name] = str(folder / found[name])
    return {name: value for name, value in found.items() if value not in ("", False, [], {})}


def _exec(given: Json, where: str, folder: Path) -> Json:
    found = dict(given) | {name: _text(given, name, f"{where}.") for name in _EXEC_TEXTS}
    found["args"] = [
        _of_kind(str, each, f"{where}.args") for each in _of_kind(list, given.get("args") or [], f"{where}.args")
    ]
    found["env"] = {
        _text(_of_kind(dict, each, f"{where}.env"), "name", f"{where}.env."): _text(each, "value", f"{where}.env.")
        for each in _of_kind(list, given.get("env") or [], f"{where}.env")
    }
    if "/" in found["command"]:
        found["command"] = str(folder / found["command"])
    if found["apiVersion"] == EXEC_VERSIONS[1]:
        found["interactiveMode"] = found["interactiveMode"] or "IfAvailable"
    return found


def _check_cluster(name: str, cluster: Mapping[str, Any]) -> None:
    if not cluster.get("server"):
        raise ClusterError(f"cluster {name!r} of the kubeconfig has no server")
    _require_one_of(name, cluster, "certificate-authority", "certificate-authority-data")
    _require_readable(cluster, "certificate-authority")
    if cluster.get("insecure-skip-tls-verify") and (
        cluster.get("certificate-authority") or cluster.get("certificate-authority-data")
    ):
        raise ClusterError(
            f"cluster {name!r} of the kubeconfig has an authority and insecure-skip-tls-verify; leave out one"
        )


def _check_user(name: str, user: Mapping[str, Any]) -> None:
    who = f"user {name!r} of the kubeconfig"
    if ("token" in user or "tokenFile" in user) and ("username" in user or "password" in user):
        raise ClusterError(f"{who} has a token and a password; leave out one")
    for kind in ("certificate", "key"):
        _require_one_of(name, user, f"client-{kind}", f"client-{kind}-data")
    if has_certificate(user):
        if not (user.get("client-key") or user.get("client-key-data")):
            raise ClusterError(f"{who} has a client-certificate and no client-key")
        for field in ("client-certificate", "client-key"):
            _require_readable(user, field)
    if any(user.get(field) for field in ("as-uid", "as-groups", "as-user-extra")) and not user.get("as"):
        raise ClusterError(f"{who} has as-uid, as-groups or as-user-extra without as, the user to act as")
    if "exec" in user:
        _check_exec(who, user)


def has_certificate(user: Mapping[str, Any]) -> bool:
    return "client-certificate" in user or "client-certificate-data" in user


def _check_exec(who: str, user: Mapping[str, Any]) -> None:
    plugin = user["exec"]
    if "auth-provider" in user:
        raise ClusterError(f"{who} has an exec plugin and an auth-provider; leave out one")
    for field in ("command", "apiVersion", "interactiveMode"):
        if not plugin[field]:
            raise ClusterError(f"{who} has an exec plugin without {field}")
    if plugin["interactiveMode"] not in ("Never", "IfAvailable", "Always"):
        raise ClusterError(f"{who} has an exec plugin of an unknown interactiveMode, {plugin['interactiveMode']!r}")
    if plugin["apiVersion"] not in EXEC_VERSIONS:
        raise ClusterError(f"{who} has an exec plugin of an unknown apiVersion, {plugin['apiVersion']!r}")
    if "" in plugin["env"]:
        raise ClusterError(f"{who} has an exec plugin with a variable without a name")


def _require_one_of(name: str, where: Mapping[str, Any], *fields: str) -> None:
    if all(where.get(field) for field in fields):
        raise ClusterError(f"{name!r} of the kubeconfig has {' and '.join(fields)}; leave out one")


def _require_readable(where: Mapping[str, Any], field: str) -> None:
    if path := where.get(field):
        try:
            Path(path).read_bytes()
        except OSError as error:
            raise ClusterError(f"the {field} of the kubeconfig, {path}, can't be read: {error.strerror}") from error


def _require_base64(text: str, where: str) -> None:
    try:
        base64.b64decode(re.sub(r"[\r\n]", "", text), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"{where} is not base64") from None


def _text(given: Mapping[str, Any], name: str, where: str) -> str:
    value = given.get(name)
    text: str = "" if value is None else _of_kind(str, value, where + name)
    return text


def _of_kind(kind: type, value: Any, where: str) -> Any:
    if not isinstance(value, kind):
        names = {str: "a text (in quotes)", bool: "true or false", list: "a list", dict: "a map"}
        raise ValueError(f"{where} is {_kind(value)}, not {names[kind]}")
    return value


def _kind(value: Any) -> str:
    names: dict[type, str] = {
        str: "a text",
        bool: "a truth",
        int: "a number",
        float: "a number",
        list: "a list",
        dict: "a map",
    }
    return names.get(type(value), "nothing")


class _Loader(yaml.SafeLoader):
    """What looks like a date is a text, as to kubectl."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
