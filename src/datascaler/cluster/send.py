"""Creating what was described: validated by the server first, whole or not at all, and only once."""

import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from datascaler.cluster.api import Api, Json, RefusedError
from datascaler.cluster.merge import differences
from datascaler.cluster.names import INSTANCE, RUN, VALUES, handle
from datascaler.cluster.paths import RUN_KINDS, path_of, path_of_object
from datascaler.cluster.submission import Submission
from datascaler.errors import ClusterError

_AT_A_TIME = 8


@dataclass(frozen=True, slots=True)
class Sent:
    created: list[str]
    """Names of the runs."""
    present: list[Json]
    """Runs that were there already, as they are now."""
    unqueued: list[str]
    """Runs that name a Kueue queue which no Kueue will hold them in."""


def send(api: Api, submission: Submission, say: Callable[[str], None] = lambda _: None) -> Sent:
    """Create the runs that are not there yet.

    Raises ClusterError where a run of that name was made from other values, naming what differs, and where the server
    refuses an object: then nothing was created.
    """
    groups = _by_run(submission.objects)
    found = {run: existing for run, existing in _existing(api, submission) if run in groups}
    for run, existing in found.items():
        _require_same(existing, groups[run][0])
    new = [group for run, group in groups.items() if run not in found]
    with ThreadPoolExecutor(_AT_A_TIME) as executor:
        answers = list(executor.map(lambda group: [_post(api, each, dry_run=True) for each in group], new))
        unqueued = [group[0]["metadata"]["name"] for group in answers if _not_held(group[0])]
        for made, _ in enumerate(executor.map(lambda group: _create_group(api, group), new), start=1):
            if len(new) > 1 and (made % 100 == 0 or made == len(new)):
                say(f"created {made:,} of {len(new):,}")
    return Sent([group[0]["metadata"]["name"] for group in new], list(found.values()), unqueued)


def check_by_server(api: Api, submission: Submission) -> None:
    """The server's own validation and admission, without creating anything."""
    with ThreadPoolExecutor(_AT_A_TIME) as executor:
        list(executor.map(lambda each: _post(api, each, dry_run=True), submission.objects))


def _by_run(objects: Iterable[Json]) -> dict[str, list[Json]]:
    """run name -> its objects, the one that owns the others first."""
    groups: dict[str, list[Json]] = {}
    for each in objects:
        groups.setdefault(each["metadata"]["labels"][RUN], []).append(each)
    for group in groups.values():
        group.sort(key=lambda each: each["kind"] not in RUN_KINDS)
    return groups


def _existing(api: Api, submission: Submission) -> Iterable[tuple[str, Json]]:
    """One list a kind, however many runs there are."""
    for kind in RUN_KINDS:
        try:
            for each in api.items(path_of(kind, submission.namespace), labelSelector=f"{INSTANCE}={submission.name}"):
                yield each["metadata"]["labels"].get(RUN, ""), each | {"kind": kind}
        except RefusedError as error:
            if error.status != 404:  # the operator is absent, and so are its runs
                raise


def _require_same(existing: Json, wanted: Json) -> None:
    name = handle(wanted["metadata"]["namespace"], wanted["metadata"]["name"])
    record = existing["metadata"].get("annotations", {}).get(VALUES)
    if record is None:
        raise ClusterError(f"{name} exists, and was not made by `datascaler submit`; give another --name")
    if existing["metadata"].get("deletionTimestamp"):
        raise ClusterError(f"{name} is being deleted; try again when it is gone")
    before, after = json.loads(record), json.loads(wanted["metadata"]["annotations"][VALUES])
    changed = [f"  {key}: {_short(old)} -> {_short(new)}" for key, old, new in differences(before, after)]
    if changed:
        raise ClusterError(
            f"{name} exists with another spec; give another --name, or `datascaler cancel {name}` first:\n"
            + "\n".join(changed)
        )


def _short(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(word, str) for word in value):
        return " ".join(value)
    return "(unset)" if value is None else json.dumps(value)


def _create_group(api: Api, group: list[Json]) -> None:
    """The owner, then what belongs to it, so that deleting the owner deletes all."""
    owner = _post(api, group[0])
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
    }
    try:
        for each in group[1:]:
            _post(api, each | {"metadata": each["metadata"] | {"ownerReferences": [reference]}})
    except ClusterError:
        api.delete(path_of_object(group[0]))
        raise


def _post(api: Api, body: Json, *, dry_run: bool = False) -> Json:
    namespace, kind = body["metadata"]["namespace"], body["kind"]
    return api.create(path_of(kind, namespace), body, dry_run=dry_run) | {"kind": kind}


def _not_held(answer: Json) -> bool:
    """Kueue's webhook also sees dry runs, and suspends what it will hold: where it did not, it won't."""
    if "kueue.x-k8s.io/queue-name" not in answer["metadata"].get("labels", {}):
        return False
    spec = answer["spec"]
    return not (spec.get("suspend") or spec.get("runPolicy", {}).get("suspend"))
