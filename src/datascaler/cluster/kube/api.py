"""Talking to the API server: plain dicts in and out, over the transport and the credentials of the kubernetes client.

Answers are not turned into the client's model classes: that would cost seconds on a job of ten thousand pods, and the
classes change between releases of the client.
"""

import copy
import json
import logging
import time
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, cast

from kubernetes import client
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic import DynamicClient
from urllib3.exceptions import HTTPError, MaxRetryError

from datascaler.cluster.kube.api_paths import Json
from datascaler.errors import ClusterError, RefusedError

PAGE = 500
_TIMEOUT_SECONDS = (10, 60)
"""Limits to connect, and between two bytes."""
_QUIET_SECONDS = 300
"""Limit between two bytes of a log: a connection that a network has silently dropped is as quiet as a pod may be."""
_PASSING = frozenset({429, 500, 502, 503, 504})
"""A server that is too busy, is being restarted, or has lost its store for a moment."""
_UNSURE = frozenset({401, 403})
"""A refusal, or a server that has just been started and knows neither tokens nor rights yet (kubernetes #121635)."""
_JUDGED = ("exceeded quota", "violates PodSecurity", "denied the request")
"""What a refusal says that is not about who asks."""
_PATIENCE_SECONDS = 60.0
_PAUSE_SECONDS = 2.0

_log = logging.getLogger(__name__)


def is_passing(error: ClusterError) -> bool:
    """Whether the same request may well be answered in a while."""
    return error.status in _PASSING or error.may_pass if isinstance(error, RefusedError) else True


class Renew(Protocol):
    def __call__(self, *, refused: bool = False) -> bool:
        """Keep credentials fresh; whether there are others now. refused: the server did not take those before."""


class Api:
    def __init__(self, transport: client.ApiClient) -> None:
        # Paths are known, so there is nothing to discover.
        self._client = DynamicClient(transport, discoverer=lambda *_: None)  # type: ignore[no-untyped-call]
        self.renew: Renew | None = None
        self._answered: set[tuple[str, str]] = set()
        """Verbs, and the kinds of paths, that the server has answered."""
        self._patience_seconds = _PATIENCE_SECONDS

    def impatient(self) -> "Api":
        """The same for a caller that waits itself: each failure is raised at once."""
        other = copy.copy(self)
        other._patience_seconds = 0.0
        return other

    def forget_answers(self) -> None:
        """Begin anew: until the server answers again, that it is away is no reason to wait."""
        self._answered.clear()

    def get(self, path: str, **query: str | int) -> Json:
        return self._json("get", path, query)

    def get_or_none(self, path: str) -> Json | None:
        """None where there is no such object, or no such kind."""
        try:
            return self.get(path)
        except RefusedError as error:
            if error.status == 404:
                return None
            raise

    def items(self, path: str, **query: str | int) -> Iterator[Json]:
        """A list, page by page."""
        more = ""
        while True:
            page = self.get(path, **query, limit=PAGE, **({"continue": more} if more else {}))
            yield from page.get("items") or ()
            more = page.get("metadata", {}).get("continue") or ""
            if not more:
                return

    def create(self, path: str, body: Json, *, dry_run: bool = False) -> Json:
        """Fields that the server does not know are an error, not a warning."""
        query = {"fieldValidation": "Strict"} | ({"dryRun": "All"} if dry_run else {})
        return self._json("post", path, query, body)

    def patch(self, path: str, body: Json) -> Json:
        return self._json("patch", path, {}, body, content_type="application/merge-patch+json")

    def delete(self, path: str) -> Json | None:
        """What depends on the object goes first. None where it is gone already."""
        try:
            return self._json("delete", path, {"propagationPolicy": "Foreground"})
        except RefusedError as error:
            if error.status == 404:
                return None
            raise

    def lines(self, path: str, **query: str | int) -> Iterator[str]:
        """A log, line by line as it grows, up to where the server ends it.

        Raises ClusterError after the last whole line if the network ends it, or a long silence does.
        """
        response = self._request("get", path, query, _request_timeout=(_TIMEOUT_SECONDS[0], _QUIET_SECONDS))
        rest = b""
        try:
            for chunk in response.stream(64 << 10):
                *whole, rest = (rest + chunk).split(b"\n")
                yield from (line.decode("utf-8", "replace") for line in whole)
        except HTTPError as error:
            raise ClusterError(f"the API server broke off in the middle of a log: {error}") from error
        finally:
            response.close()
        if rest:
            yield rest.decode("utf-8", "replace")

    def _json(self, verb: str, path: str, query: Mapping[str, str | int], body: Any = None, **more: Any) -> Json:
        response = self._request(verb, path, query, body=body, _request_timeout=_TIMEOUT_SECONDS, **more)
        try:
            return cast(Json, json.loads(response.data))
        except ValueError as error:
            raise ClusterError(f"what answers at {self._client.configuration.host} is no API server") from error
        finally:
            response.release_conn()

    def _request(self, verb: str, path: str, query: Mapping[str, str | int], **more: Any) -> Any:
        """The answer. Once the server has given one, what fails in passing is asked again for a while."""
        kind = verb, _kind_of(path)
        started, is_renewed = time.monotonic(), False
        while True:
            if self.renew:
                self.renew()
            try:
                answer = self._ask(verb, path, query, **more)
            except ClusterError as error:
                if isinstance(error, RefusedError):
                    if error.status == 401 and self.renew and not is_renewed:
                        is_renewed = True
                        if self.renew(refused=True):
                            continue
                    self._judge(error, kind)
                left = started + self._patience_seconds - time.monotonic()
                if not self._answered or not is_passing(error) or left <= 0:
                    raise
                _log.warning("%s; asking again for up to %.0f s", error, left)
                time.sleep(min(_PAUSE_SECONDS, left))
            else:
                self._answered.add(kind)
                return answer

    def _judge(self, refused: RefusedError, kind: tuple[str, str]) -> None:
        """Whether it may pass; anything that is not about who asks is an answer."""
        if refused.status not in _UNSURE | _PASSING:
            self._answered.add(kind)
        elif refused.status in _UNSURE and self._answered and not any(each in str(refused) for each in _JUDGED):
            refused.may_pass = kind in self._answered or not self._is_ready()

    def _is_ready(self) -> bool:
        """Whether the server says that it is: one that has just been started refuses what it will soon allow."""
        try:
            self._ask("get", "/readyz", {}, _request_timeout=_TIMEOUT_SECONDS).release_conn()
        except RefusedError as error:
            return error.status not in (_UNSURE | _PASSING)
        except ClusterError:
            return False
        return True

    def _ask(self, verb: str, path: str, query: Mapping[str, str | int], **more: Any) -> Any:
        asked = [(name, str(value)) for name, value in query.items()]
        try:
            return self._client.request(verb, path, query_params=asked, serialize=False, **more)
        except ApiException as error:
            raise RefusedError(_said(error), int(error.status or 0)) from error
        except MaxRetryError as error:
            host = self._client.configuration.host
            raise ClusterError(f"no answer from the API server {host}: {error.reason}; check --context") from error
        except HTTPError as error:
            raise ClusterError(f"the API server broke off: {error}") from error


def _kind_of(path: str) -> str:
    """The path without the name of an object: `.../pods/*/log` for all logs."""
    before, found, inside = path.partition("/namespaces/")
    namespace, _, rest = inside.partition("/")
    plural, named, part = rest.partition("/")
    return f"{before}{found}{namespace}/{plural}{'/*' if named else ''}/{part.partition('/')[2]}"


def _said(error: ApiException) -> str:
    """The server's own sentence, which names verb, object and field."""
    try:
        said = json.loads(error.body or "")["message"]
    except (ValueError, KeyError, TypeError):
        said = error.reason or "no reason given"
    if error.status == 401:
        said += "; log in again, or check --context"
    return f"Kubernetes refused ({error.status}): {said}"
