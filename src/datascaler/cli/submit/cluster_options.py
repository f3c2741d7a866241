"""The cluster flags of `datascaler submit`: each is one key of the chart's values, and nothing else."""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import click

from datascaler.cli.options import COUNT
from datascaler.errors import ConfigError
from datascaler.safe_text import shown

ALL = ("score", "subset", "train", "sweep", "eval", "report", "pipeline", "forecast")
_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_INDEXED, _TRAINING, _DRIVERS = ("score", "eval"), ("train", "sweep"), ("pipeline", "forecast")


@dataclass(frozen=True, slots=True)
class ClusterFlag:
    name: str
    key: str
    """Path in the chart's values."""
    help: str
    convert: Callable[[Any], Any] = lambda value: value
    type: click.ParamType[Any] | type = str
    multiple: bool = False
    verbs: tuple[str, ...] = ALL

    @property
    def param(self) -> str:
        return "cluster_" + self.name.removeprefix("--").replace("-", "_")

    def option(self) -> Callable[[Any], Any]:
        if self.type is bool:
            return click.option(self.name, self.param, is_flag=True, default=None, help=self.help)
        return click.option(self.name, self.param, type=self.type, multiple=self.multiple, help=self.help)


def _pairs(items: Iterable[str]) -> dict[str, str]:
    """`KEY=VALUE` each."""
    pairs = dict(_split(item, "=", "KEY=VALUE") for item in items)
    for key in pairs:
        if not _KEY.fullmatch(key):
            raise click.UsageError(f"{key!r} can't be a key; write NAME or DOMAIN/NAME")
    return pairs


def _split(text: str, at: str, form: str) -> tuple[str, str]:
    before, found, after = text.partition(at)
    if not found or not before:
        raise click.UsageError(f"{text!r} is not of the form {form}")
    return before, after


def _require_variable(name: str) -> None:
    if not _VARIABLE.fullmatch(name):
        raise click.UsageError(f"{name!r} can't be the name of a variable; use letters, digits and _")


def _environment(items: Iterable[str]) -> dict[str, str]:
    """`NAME=VALUE`, or `NAME` for the value that it has here."""
    values = {}
    for item in items:
        name, given, value = item.partition("=")
        if not given and name not in os.environ:
            raise click.UsageError(f"--env {name}: it is not set here; write {name}=VALUE")
        _require_variable(name)
        values[name] = value if given else os.environ[name]
    return values


def _environment_file(path: str) -> dict[str, str]:
    """Lines as kubectl and docker read them: what stands behind the = is the value, with its blanks."""
    lines = (line.removesuffix("\r").lstrip() for line in _text_of(path, "--env-file").split("\n"))
    return _environment(line for line in lines if line and not line.startswith("#"))


def _secret_environment(items: Iterable[str]) -> dict[str, Any]:
    """`NAME=SECRET:KEY`: the value stays in the cluster."""
    values = {}
    for item in items:
        name, reference = _split(item, "=", "NAME=SECRET:KEY")
        _require_variable(name)
        secret, key = _split(reference, ":", "NAME=SECRET:KEY")
        values[name] = {"secretKeyRef": {"name": secret, "key": key}}
    return values


def _tolerations(items: Iterable[str]) -> list[dict[str, str]]:
    """Tolerated taints as `kubectl taint` writes them: `KEY=VALUE:EFFECT`, `KEY:EFFECT` or `KEY`."""
    found = []
    for item in items:
        taint, _, effect = item.partition(":")
        key, equal, value = taint.partition("=")
        if not _KEY.fullmatch(key) or item.endswith(":"):
            raise click.UsageError(f"--toleration {item!r} names no taint; write KEY[=VALUE][:EFFECT]")
        one = {"key": key, "operator": "Equal", "value": value} if equal else {"key": key, "operator": "Exists"}
        found.append(one | ({"effect": effect} if effect else {}))
    return found


def _image(reference: str) -> dict[str, str]:
    """`REPOSITORY[:TAG][@DIGEST]`; a colon before the last slash belongs to a port."""
    name, _, digest = reference.partition("@")
    head, slash, last = name.rpartition("/")
    repository, _, tag = last.partition(":")
    if reference.endswith((":", "@")):
        raise click.UsageError(f"{reference!r} is no image; write REPOSITORY[:TAG][@DIGEST]")
    return {"repository": head + slash + repository, "tag": tag, "digest": digest}


def _pull_secrets(names: Iterable[str]) -> list[dict[str, str]]:
    return [{"name": name} for name in names]


def _overlay(path: str) -> dict[str, Any]:
    return read_values(path, "--pod-overlay")


def _text_of(path: str, flag: str) -> str:
    from pathlib import Path

    try:
        return Path(path).read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{flag} {path}: {error}") from None


class _Span(click.ParamType[Any]):
    """A count, or the word never."""

    name = "integer"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if value == "never" else COUNT.convert(value, param, ctx)


_SPAN = _Span()
_FILE = click.Path(exists=True, dir_okay=False)

FLAGS = (
    ClusterFlag("--image", "image", "Worker image, REPOSITORY[:TAG][@DIGEST].", _image),
    ClusterFlag("--image-pull-policy", "image.pullPolicy", "Always, IfNotPresent or Never."),
    ClusterFlag("--image-pull-secret", "imagePullSecrets", "Secret of a registry.", _pull_secrets, multiple=True),
    ClusterFlag("--launcher-image", "launcher.image", "Image of the driver.", _image, verbs=_DRIVERS),
    ClusterFlag("--gpus", "gpu.count", "GPUs per pod; 0 for none.", type=COUNT),
    ClusterFlag("--gpu-resource", "gpu.resource", "nvidia.com/gpu, amd.com/gpu, nvidia.com/mig-1g.5gb, ..."),
    ClusterFlag("--cpu", "resources.cpu", "CPUs per pod."),
    ClusterFlag("--memory", "resources.memory", "Memory per pod: 64Gi."),
    ClusterFlag("--shm-size", "shmSize", "Size of /dev/shm, which counts as memory: 16Gi."),
    ClusterFlag("--scratch-size", "scratchSize", "Most that /tmp may hold."),
    ClusterFlag("--parallelism", "parallelism", "Pods at a time.", type=COUNT, verbs=_INDEXED),
    ClusterFlag("--retries", "backoffLimitPerIndex", "Retries of each index.", type=COUNT, verbs=_INDEXED),
    ClusterFlag("--max-failed-indexes", "maxFailedIndexes", "End when more failed.", type=COUNT, verbs=_INDEXED),
    ClusterFlag("--workers", "train.workers", "Pods to start with.", type=COUNT, verbs=_TRAINING),
    ClusterFlag("--min-workers", "train.minWorkers", "Fewest to train with.", type=COUNT, verbs=_TRAINING),
    ClusterFlag("--max-workers", "train.maxWorkers", "Most to scale up to.", type=COUNT, verbs=_TRAINING),
    ClusterFlag("--max-restarts", "train.maxRestarts", "Restarts inside a pod.", type=COUNT, verbs=_TRAINING),
    ClusterFlag("--backend", "train.backend", "pytorchjob, or job.  [default: what is there]", verbs=_TRAINING),
    ClusterFlag("--queue", "queue.name", "Kueue's LocalQueue, or Volcano's or KAI's queue."),
    ClusterFlag("--queue-system", "queue.system", "kueue, volcano or kai."),
    ClusterFlag("--priority", "queue.priorityClass", "Order in the queue: Kueue's WorkloadPriorityClass."),
    ClusterFlag("--priority-class", "priorityClassName", "Which pods may be evicted for this run's."),
    ClusterFlag("--scheduler", "schedulerName", "In place of the cluster's or the queue system's."),
    ClusterFlag("--runtime-class", "runtimeClassName", "Container runtime, such as nvidia."),
    ClusterFlag("--node-selector", "nodeSelector", "LABEL=VALUE of the nodes.", _pairs, multiple=True),
    ClusterFlag("--toleration", "tolerations", "KEY[=VALUE][:EFFECT] of a taint.", _tolerations, multiple=True),
    ClusterFlag("--service-account", "serviceAccountName", "Whom the pods run as."),
    ClusterFlag("--storage-secret", "storage.secretName", "Secret whose keys become variables."),
    # In this order, so that what stands on the command line is laid over what stands in the file.
    ClusterFlag("--env-file", "env", "File of NAME=VALUE lines; --env goes before it.", _environment_file, type=_FILE),
    ClusterFlag("--env", "env", "NAME=VALUE, or NAME as it is here.", _environment, multiple=True),
    ClusterFlag("--secret-env", "env", "NAME=SECRET:KEY.", _secret_environment, multiple=True),
    ClusterFlag("--label", "labels", "KEY=VALUE on the run.", _pairs, multiple=True),
    ClusterFlag("--annotation", "annotations", "KEY=VALUE on the run.", _pairs, multiple=True),
    ClusterFlag("--pod-overlay", "podOverlay", "YAML laid over the pod template.", _overlay, type=_FILE),
    ClusterFlag("--deadline", "activeDeadlineSeconds", "Seconds until the run is stopped.", type=COUNT),
    ClusterFlag("--ttl", "ttlSecondsAfterFinished", "Seconds until a finished run is deleted, or never.", type=_SPAN),
    ClusterFlag("--grace-period", "terminationGracePeriodSeconds", "Seconds to stop in.", type=COUNT),
    ClusterFlag("--suspend", "suspend", "Create it without starting it.", type=bool),
)


def flags_of(verb: str) -> list[ClusterFlag]:
    return [flag for flag in FLAGS if verb in flag.verbs]


def values_of_flags(params: Mapping[str, Any]) -> dict[str, Any]:
    """The values that the given flags stand for."""
    from datascaler.cluster.kube.chart_values import merged_values

    return merged_values(*_layers_of_flags(params))


def all_values(given: Mapping[str, Any]) -> dict[str, Any]:
    """The values of the files and, over them, of the flags."""
    from datascaler.cluster.kube.chart_values import merged_values

    return merged_values(*map(read_values, given["value_files"]), *_layers_of_flags(given))


def _layers_of_flags(params: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    from datascaler.cluster.kube.chart_values import fragment

    for flag in FLAGS:
        given = params.get(flag.param)
        if given is not None and given != ():
            yield fragment(flag.key, flag.convert(given))


def read_values(text: str, flag: str = "--values") -> dict[str, Any]:
    """Values from a YAML file, or from the text itself if it begins with a brace. flag: what it was given to."""
    from datascaler.cluster.kube.chart_values import as_json_has_them
    from datascaler.tools.plain_yaml import load_yaml

    is_text = text.lstrip().startswith("{")
    content, shown_file = (text, shown(text)) if is_text else (_text_of(text, flag), text)
    try:
        values = as_json_has_them(load_yaml(content)) or {}
    except ConfigError as error:
        raise click.UsageError(f"{flag} {shown_file}: not YAML: {error}") from None
    if not isinstance(values, dict):
        raise click.UsageError(f"{flag} {shown_file}: not a map of values")
    return values
