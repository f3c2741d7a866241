"""Retries transient storage errors for minutes, but only once the store has answered a first request.

A wrong endpoint, or a server that is down when a command starts, must be said at once; a server that goes away for
two minutes in the middle of a run of days must not end the run. So failures are waited out only where this process
has had an answer from the store before. A store that asks to slow down has answered.
"""

import logging
import math
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from datascaler.errors import ConfigError, StorageError, first_line
from datascaler.safe_text import safe_message
from datascaler.stop import ending
from datascaler.storage.error_translation import NO_ANSWER, answer_of, has_answered, is_transient, translated_errors
from datascaler.storage.urls import is_local

RETRY_SECONDS_VARIABLE = "DATASCALER_RETRY_SECONDS"
_DEFAULT_RETRY_SECONDS = 300.0
_FIRST_PAUSE_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 30.0
_LOOK_SECONDS = 0.5
_FIRST_NOTE_INTERVAL_SECONDS = 5.0
_QUIET_SECONDS = 600.0
"""The time without trouble after which the next one is reported anew."""

_log = logging.getLogger(__name__)
# Not the seeded generator of the program around us; and forked processes must not pause in step.
_random = random.SystemRandom()
_answered: set[tuple[str, str]] = set()
_Result = TypeVar("_Result")


@dataclass(slots=True)
class _Trouble:
    """When a store's failures were last worth a line. All threads share it; a line too many does no harm."""

    noted: float = -math.inf
    interval: float = _FIRST_NOTE_INTERVAL_SECONDS


_troubles: dict[tuple[str, str], _Trouble] = {}


def retried(url: str, act: Callable[[], _Result]) -> _Result:
    """The result of `act`, which is called again while it fails in passing; its errors become ours.

    `act` must do no harm when it is called twice. The pauses double, with full jitter, up to 30 s; the last one ends
    after DATASCALER_RETRY_SECONDS (300).

    Raises StorageError, NotFoundError or ConfigError, that name the URL.
    """
    if is_local(url):
        with translated_errors(url):
            return act()
    store = store_of(url)
    started = time.monotonic()
    tries = 0
    while True:
        try:
            result = act()
        except Exception as error:
            tries += 1
            if not _is_worth_waiting(store, error):
                with translated_errors(url):
                    raise
            limit = retry_seconds()
            waited = time.monotonic() - started
            if waited >= limit:
                raise _given_up(url, error, waited) from error
            pause = min(_random.uniform(0, _cap(tries)), limit - waited)
            _note(store, url, error, limit - waited)
        else:
            _answered.add(store)
            return result
        _sleep(pause)


def _sleep(seconds: float) -> None:
    """Raises StoppedError where the process is told to end meanwhile, in whatever thread this is."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if request := ending():
            raise request
        time.sleep(min(left, _LOOK_SECONDS))


def assume_answers(url: str) -> None:
    """Wait out failures of the URL's store from this process's first request on.

    For a worker process, whose parent has had answers from the store.
    """
    _answered.add(store_of(url))


def retry_seconds() -> float:
    """How long to try again, from the environment. Raises ConfigError if that is no number of seconds."""
    text = os.environ.get(RETRY_SECONDS_VARIABLE, "")
    try:
        seconds = float(text or _DEFAULT_RETRY_SECONDS)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise ConfigError(f"{RETRY_SECONDS_VARIABLE} must be a number of seconds, as 300, got {text!r}")
    return seconds


def store_of(url: str) -> tuple[str, str]:
    """What answers as a whole: the endpoint, not the bucket."""
    scheme, _, rest = url.partition("://")
    if scheme in ("s3", "s3a"):
        return "s3", os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")
    return scheme, rest.partition("/")[0] if scheme in ("http", "https") else ""


def _is_worth_waiting(store: tuple[str, str], error: Exception) -> bool:
    if not is_transient(error):
        if answer_of(error) != NO_ANSWER:
            _answered.add(store)
        return False
    return store in _answered or has_answered(error)


def _cap(tries: int) -> float:
    return min(_LONGEST_PAUSE_SECONDS, math.ldexp(_FIRST_PAUSE_SECONDS, min(tries - 1, 32)))


def _given_up(url: str, error: Exception, waited: float) -> StorageError:
    try:
        with translated_errors(url):
            raise error
    except StorageError as plain:
        said = str(plain)
    return StorageError(f"{said}; gave up after {waited:.1f} s ({RETRY_SECONDS_VARIABLE} sets how long to try)")


def _note(store: tuple[str, str], url: str, error: Exception, left: float) -> None:
    """Say that we wait; ever more rarely, and once for all threads of the process."""
    trouble = _troubles.setdefault(store, _Trouble())
    now = time.monotonic()
    if now < trouble.noted + trouble.interval:
        return
    is_new = now > trouble.noted + _QUIET_SECONDS
    trouble.interval = _FIRST_NOTE_INTERVAL_SECONDS if is_new else 2 * trouble.interval
    trouble.noted = now
    _log.warning("%s: %s; trying again for up to %.0f s", safe_message(url), first_line(error), left)
