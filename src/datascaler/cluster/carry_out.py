"""One step of a pipeline: submitted, awaited, and made anew if it had failed before.

What is finished is the only state, so the same pipeline, started again, goes on where it stopped.
"""

from collections.abc import Callable

from datascaler.cluster.api import Api
from datascaler.cluster.cancel import cancel
from datascaler.cluster.send import send
from datascaler.cluster.state import State, state_of
from datascaler.cluster.submission import Submission
from datascaler.cluster.wait import exit_code, summary_line, wait_for
from datascaler.errors import DatascalerError, PartlyFailedError, RunCancelledError, RunFailedError

_ERRORS: dict[int, type[DatascalerError]] = {100: RunFailedError, 103: RunCancelledError, 104: PartlyFailedError}


def carry_out(
    api: Api,
    namespace: str,
    verb: str,
    submission: Submission,
    say: Callable[[str], None],
) -> None:
    """Submit a step and wait for it. One that failed before is made anew: it goes on from what it has finished.

    Raises RunFailedError, PartlyFailedError or RunCancelledError if it does not succeed.
    """
    present = send(api, submission, say).present
    states = [state_of(run).state for run in present]
    if State.FAILED in states or State.PARTLY_FAILED in states:
        say(f"{verb}: {submission.name} had failed; starting it again")
        cancel(api, namespace, submission.name, say=say)
        send(api, submission, say)
    ended = wait_for(api, namespace, submission.name, say=lambda line: say(f"{verb}: {line}"))
    code = exit_code(ended)
    if code:
        raise _ERRORS[code](
            f"step {verb} ({namespace}/{submission.name}) did not succeed: {summary_line(ended)}; "
            "when that is mended, the same submit goes on from here"
        )
