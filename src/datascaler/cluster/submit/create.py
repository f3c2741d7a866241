"""Creating what was described: all of it validated by the server first, each run whole or not at all, and only once."""

import json
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import as_completed
from dataclasses import dataclass
from typing import Any

from datascaler.cluster.kube.api import Api
from datascaler.cluster.kube.api_paths import RUN_KINDS, Json, path_of, path_of_object
from datascaler.cluster.kube.chart_values import differences
from datascaler.cluster.kube.names import INSTANCE, RUN, VALUES, handle
from datascaler.cluster.submit.submission import Submission
from datascaler.cluster.watch.state import run_state
from datascaler.errors import ClusterError, OtherRunError, RefusedError
from datascaler.tools.worker_threads import worker_threads

_AT_A_TIME = 8


@dataclass(frozen=True, slots=True)
class Sent:
    created: list[str]
    """Names of the runs."""
    present: list[Json]
    """Runs that were there already, as they are now."""
    unqueued: list[str]
    """Runs that name a Kueue queue which no Kueue will hold them in."""


def send(
    api: Api,
    submission: Submission,
    say: Callable[[str], None] = lambda _: None,
    *,
    ready: Callable[[], None] = lambda: None,
) -> Sent:
    """Create the runs that are not there yet.

    ready: called when the server has found nothing wrong, before anything is created.
    Raises ClusterError where a run of that name was made from other values, naming what differs, and where the server
    refuses an object: then nothing was created. What goes wrong after that is told with the number of runs that are
    there; the same submit goes on with the others.
    """
    groups = _by_run(submission.objects)
    found, answers = _validated(api, submission, groups)
    new = [group for run, group in groups.items() if run not in found]
    if new:
        ready()
    meanwhile = _create_all(api, new, say)
    _complete(api, submission, {run: (found[run], groups[run]) for run in found}, say)
    unqueued = [answer[0]["metadata"]["name"] for answer in answers if _not_held(answer[0])]
    names = [name for group in new if (name := group[0]["metadata"]["name"]) not in meanwhile]
    return Sent(names, [*found.values(), *meanwhile.values()], unqueued)


def rehearse(api: Api, submission: Submission) -> None:
    """What `send` does before it creates anything: raises what it would raise."""
    _validated(api, submission, _by_run(submission.objects))


def check_by_server(api: Api, submission: Submission) -> None:
    """The server's own validation and admission of every object, also of those that are there already."""

    def check(each: Json) -> None:
        try:
            _post(api, each, dry_run=True)
        except RefusedError as error:
            # It exists, which is only found out when all else is right.
            if error.status != 409:
                raise

    with worker_threads(_AT_A_TIME) as executor:
        list(executor.map(check, submission.objects))


def _validated(
    api: Api, submission: Submission, groups: Mapping[str, list[Json]]
) -> tuple[dict[str, Json], list[list[Json]]]:
    """The runs that are there already, made from the same values, and the server's answers on the others."""
    found = {run: existing for run, existing in _existing(api, submission) if run in groups}
    for run, existing in found.items():
        _require_same(existing, groups[run][0])
    new = [group for run, group in groups.items() if run not in found]
    with worker_threads(_AT_A_TIME) as executor:
        return found, list(executor.map(lambda group: [_post(api, each, dry_run=True) for each in group], new))


def _create_all(api: Api, groups: list[list[Json]], say: Callable[[str], None]) -> dict[str, Json]:
    """Each group whole or not at all; the runs that somebody else made meanwhile. The first failure stops what has not
    begun."""
    meanwhile: dict[str, Json] = {}
    with worker_threads(_AT_A_TIME) as executor:
        creations = [executor.submit(_create_group, api, group) for group in groups]
        try:
            for made, each in enumerate(as_completed(creations), start=1):
                if theirs := each.result():
                    meanwhile[theirs["metadata"]["name"]] = theirs
                if len(groups) > 1 and (made % 100 == 0 or made == len(groups)):
                    say(f"created {made:,} of {len(groups):,}")
        except ClusterError as error:
            if len(groups) == 1:
                raise
            failure: ClusterError | None = error
        else:
            failure = None
        finally:
            for each in creations:
                each.cancel()
    # Those that were under way have ended now.
    if failure:
        made = sum(not each.cancelled() and each.exception() is None for each in creations)
        raise ClusterError(
            f"{made:,} of {len(groups):,} runs were created; the same submit goes on with the others: {failure}"
        ) from failure
    return meanwhile


def _complete(
    api: Api, submission: Submission, present: Mapping[str, tuple[Json, list[Json]]], say: Callable[[str], None]
) -> None:
    """What belongs to a run that goes on and is gone, such as the Service by which workers find each other."""
    parts = {run: group[1:] for run, (existing, group) in present.items() if not run_state(existing).state.is_final}
    kinds = {part["kind"] for group in parts.values() for part in group}
    there = {
        (kind, each["metadata"]["name"])
        for kind in kinds
        for each in api.items(path_of(kind, submission.namespace), labelSelector=f"{INSTANCE}={submission.name}")
    }
    for run, group in parts.items():
        existing, (owner, *_) = present[run]
        for each in group:
            if (each["kind"], each["metadata"]["name"]) not in there:
                _post_part(api, each, owner | {"metadata": existing["metadata"]})
                say(f"{run}: {each['kind']} {each['metadata']['name']} was gone, and is made again")


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
        raise OtherRunError(f"{name} exists, and was not made by `datascaler submit`; give another --name")
    if existing["metadata"].get("deletionTimestamp"):
        raise ClusterError(f"{name} is being deleted; try again when it is gone")
    before, after = json.loads(record), json.loads(wanted["metadata"]["annotations"][VALUES])
    changed = [f"{key}: {_short(old)} -> {_short(new)}" for key, old, new in differences(before, after)]
    if changed:
        raise OtherRunError(
            f"{name} exists with another spec; give another --name, or `datascaler cancel {name}` first:", *changed
        )


def _short(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(word, str) for word in value):
        return " ".join(value)
    return "(unset)" if value is None else json.dumps(value)


def _create_group(api: Api, group: list[Json]) -> Json | None:
    """The owner, then what belongs to it, so that deleting the owner deletes all. The run that another submit has made
    in the meantime, of the same values."""
    meanwhile = None
    try:
        owner = _post(api, group[0])
    except RefusedError as error:
        if error.status != 409:
            raise
        owner = meanwhile = api.get(path_of_object(group[0])) | {
            "kind": group[0]["kind"],
            "apiVersion": group[0]["apiVersion"],
        }
        _require_same(owner, group[0])
    try:
        for each in group[1:]:
            _post_part(api, each, owner)
    except ClusterError:
        if meanwhile is None:
            api.delete(path_of_object(group[0]))
        raise
    return meanwhile


def _post_part(api: Api, part: Json, owner: Json) -> None:
    """What belongs to a run; another submit of the same may have been faster."""
    try:
        _post(api, _owned(part, owner))
    except RefusedError as error:
        if error.status != 409:
            raise
        there = api.get(path_of_object(part))["metadata"].get("ownerReferences") or ()
        if owner["metadata"]["uid"] not in [each["uid"] for each in there]:
            raise


def _owned(part: Json, owner: Json) -> Json:
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
    }
    return part | {"metadata": part["metadata"] | {"ownerReferences": [reference]}}


def _post(api: Api, body: Json, *, dry_run: bool = False) -> Json:
    namespace, kind = body["metadata"]["namespace"], body["kind"]
    return api.create(path_of(kind, namespace), body, dry_run=dry_run) | {"kind": kind}


def _not_held(answer: Json) -> bool:
    """Kueue's webhook also sees dry runs, and suspends what it will hold: where it did not, it won't."""
    if "kueue.x-k8s.io/queue-name" not in answer["metadata"].get("labels", {}):
        return False
    spec = answer["spec"]
    return not (spec.get("suspend") or spec.get("runPolicy", {}).get("suspend"))
