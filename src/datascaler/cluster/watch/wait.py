"""Waiting for runs to end, through lost connections and closed laptops."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from datascaler.cluster.kube.api import Api, is_passing
from datascaler.cluster.watch.saved_logs import saved_success
from datascaler.cluster.watch.state import RunState, State
from datascaler.cluster.watch.status import find_cluster_runs, look
from datascaler.errors import ClusterError, RefusedError, RunNotFoundError

T = TypeVar("T")

_PAUSE_SECONDS = 2.0
_SILENCE_SECONDS = 600.0
"""How long the API server may be unreachable before waiting ends."""
_REFUSED_SECONDS = 180.0
"""How long it may refuse what it has allowed before: a big cluster's needs minutes to know its rights again."""


def wait_for(
    api: Api, namespace: str, name: str, *, timeout: float | None = None, say: Callable[[str], None] = lambda _: None
) -> list[RunState]:
    """The states of the run, or of each of its list, once all are final or the time is over.

    timeout: seconds; None waits as long as it takes. Raises RunNotFoundError if there is no such run to begin with.
    """
    deadline = time.monotonic() + timeout if timeout is not None else None
    states: list[RunState] = []
    said = ""
    while True:
        states = look_again(api, namespace, name, states, deadline)
        line = summary_line(states)
        if line != said:
            say(line)
            said = line
        if all(state.state.is_final for state in states) or is_over(deadline):
            return states
        time.sleep(_PAUSE_SECONDS)


def summary_line(states: Sequence[RunState]) -> str:
    """One line for people: the state, how far it is, and why it waits."""
    if len(states) == 1:
        return _line(states[0])
    counts = {state: sum(each.state == state for each in states) for state in State}
    text = ", ".join(f"{count:,} {state}" for state, count in counts.items() if count)
    reasons = [f"{each.name}: {each.reason}" for each in states if each.reason]
    return text + (f"; {reasons[0]}" if reasons else "")


def exit_code(states: Sequence[RunState]) -> int:
    """0 when all succeeded; 101 while any goes on; 104 when only some failed; else 100 failed or 103 cancelled.

    A pipeline's driver answers for its steps: it makes those that failed anew.
    """
    states = [state for state in states if state.verb == "pipeline"] or states
    codes = {state.state.exit_code for state in states}
    if 101 in codes:
        return 101
    if len(codes) == 1:
        return codes.pop()
    return 103 if codes == {0, 103} else 104


def _line(state: RunState) -> str:
    done = f" ({state.succeeded:,} of {state.wanted:,} done" if state.verb in ("score", "eval") else ""
    if done:
        done += f", {state.failed:,} failed)" if state.failed else ")"
    workers = f" ({state.active} of {state.wanted} workers)" if state.verb == "train" and state.active else ""
    return f"{state.state}{done}{workers}" + (f": {state.reason}" if state.reason else "")


def look_again(
    api: Api, namespace: str, name: str, before: list[RunState], deadline: float | None = None
) -> list[RunState]:
    """Runs that were there and are gone were cancelled. Those of before, if nobody answers until the deadline."""
    if not before:
        api.forget_answers()
        return look(api, find_cluster_runs(api, namespace, name))
    waiting = api.impatient()
    states: list[RunState] | None = []
    with suppress(RunNotFoundError):
        states = patiently(lambda: look(waiting, find_cluster_runs(waiting, namespace, name)), deadline)
    if states is None:
        return before
    here = {state.name for state in states}
    return states + [_as_it_ended(each) for each in before if each.name not in here]


def _as_it_ended(gone: RunState) -> RunState:
    """A run that is there no longer: deleted before its end, or complete, and its time to live has passed unseen. What
    its pods left in storage decides."""
    if gone.state.is_final:
        return gone
    success = saved_success(gone.logs, gone.wanted, is_shared=gone.verb in ("score", "eval")) if gone.logs else False
    if success:
        return replace(gone, state=State.SUCCEEDED, reason="", active=0, succeeded=gone.wanted)
    if success is None:
        unknown = f"deleted, or its time to live has passed; what its pods left in {gone.logs} can't be read from here"
        return replace(gone, state=State.GONE, reason=unknown)
    return replace(gone, state=State.CANCELLED, reason="deleted")


def patiently(ask: Callable[[], T], deadline: float | None) -> T | None:
    """What the API server answers, though it may be away for a while; None if it still is when the time is over."""
    quiet_since = time.monotonic()
    while True:
        try:
            return ask()
        except ClusterError as error:
            limit = _REFUSED_SECONDS if isinstance(error, RefusedError) and error.may_pass else _SILENCE_SECONDS
            if not is_passing(error) or time.monotonic() - quiet_since > limit:
                raise
            if is_over(deadline):
                return None
            time.sleep(_PAUSE_SECONDS)


def is_over(deadline: float | None) -> bool:
    return deadline is not None and time.monotonic() >= deadline
