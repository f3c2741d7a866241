"""One step of a pipeline: submitted, awaited, and made anew if it had failed before.

What is finished is the only state, so the same pipeline, started again, goes on where it stopped.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from datascaler.cluster.act.cancel import delete_runs
from datascaler.cluster.kube.api import Api, is_passing
from datascaler.cluster.kube.api_paths import PYTORCHJOB
from datascaler.cluster.submit.create import Sent, check_by_server, rehearse, send
from datascaler.cluster.submit.submission import Submission
from datascaler.cluster.watch.state import RunState, State
from datascaler.cluster.watch.status import find_cluster_runs, look
from datascaler.cluster.watch.wait import exit_code, summary_line, wait_for
from datascaler.errors import (
    DatascalerError,
    NotFinishedError,
    OtherRunError,
    PartlyFailedError,
    RefusedError,
    RunCancelledError,
    RunFailedError,
    RunNotFoundError,
    StepRefusedError,
)

_ERRORS: dict[int, type[DatascalerError]] = {
    100: RunFailedError,
    101: NotFinishedError,
    102: RunNotFoundError,
    103: RunCancelledError,
    104: PartlyFailedError,
}
_FAILED = (State.FAILED, State.PARTLY_FAILED)


def carry_out(
    api: Api,
    namespace: str,
    verb: str,
    submission: Submission,
    say: Callable[[str], None],
    *,
    timeout: float | None = None,
) -> None:
    """Submit a step and wait for it.

    A sweep goes on when some of its points failed: diverging is an answer too, and the ranking is of the others.
    Raises RunFailedError, PartlyFailedError or RunCancelledError if the step does not succeed, NotFinishedError if it
    takes more than `timeout` seconds.
    """
    with _refusals_named(verb, submission):
        send_anew(api, submission, say)
    ended = wait_for(api, namespace, submission.name, timeout=timeout, say=lambda line: say(f"{verb}: {line}"))
    _end_what_starts_again(api, namespace, submission.name, ended, say)
    code = exit_code(ended)
    if code == 0 or (verb == "sweep" and any(state.state == State.SUCCEEDED for state in ended) and code != 101):
        return
    raise _ERRORS[code](
        f"step {verb} ({namespace}/{submission.name}) did not succeed: {summary_line(ended)}; "
        "when that is mended, the same submit goes on from here"
    )


def rehearse_step(api: Api, verb: str, submission: Submission, *, may_differ: bool = False) -> None:
    """Raises what creating the step would raise, and creates nothing. may_differ: what is there already, too: the best
    point of a sweep is not known before."""
    with _refusals_named(verb, submission):
        (check_by_server if may_differ else rehearse)(api, submission)


@contextmanager
def _refusals_named(verb: str, submission: Submission) -> Iterator[None]:
    """What no retry will change ends the driver for good, and says which step it is about."""
    try:
        yield
    except (RefusedError, OtherRunError) as error:
        # A quota may have room again when the steps before are done.
        if (is_passing(error) and isinstance(error, RefusedError)) or "exceeded quota" in str(error):
            raise
        said, *more = error.args
        step = f"step {verb} ({submission.namespace}/{submission.name})"
        raise StepRefusedError(f"{step} can't run: {said}", *more) from error


def send_anew(api: Api, submission: Submission, say: Callable[[str], None] = lambda _: None) -> Sent:
    """Submit; runs that are there and failed are made anew, and go on from what they have finished."""
    sent = send(api, submission, say)
    states = look(api, sent.present)
    failed = [run for run, state in zip(sent.present, states, strict=True) if state.state in _FAILED]
    if not failed:
        return sent
    say(f"{', '.join(run['metadata']['name'] for run in failed[:3])} had failed; starting again")
    delete_runs(api, submission.namespace, failed, say=say)
    again = send(api, submission, say)
    return Sent(sent.created + again.created, again.present, sent.unqueued + again.unqueued)


def _end_what_starts_again(
    api: Api, namespace: str, name: str, ended: list[RunState], say: Callable[[str], None]
) -> None:
    """The operator starts a PyTorchJob again whose failure nothing will change: its GPUs are for others."""
    failed = {state.name for state in ended if state.kind == PYTORCHJOB and state.state == State.FAILED}
    if not failed:
        return
    try:
        runs = find_cluster_runs(api, namespace, name)
    except RunNotFoundError:
        return
    delete_runs(api, namespace, [run for run in runs if run["metadata"]["name"] in failed], say=say)
