"""Talking to the API server: plain dicts in and out, over the transport and the credentials of the kubernetes client.

Answers are not turned into the client's model classes: that would cost seconds on a job of ten thousand pods, and the
classes change between releases of the client.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

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


def is_passing(error: ClusterError) -> bool:
    """Whether the same request may well be answered in a while."""
    return error.status in _PASSING if isinstance(error, RefusedError) else True


class Api:
    def __init__(self, transport: client.ApiClient) -> None:
        # Paths are known, so there is nothing to discover.
        self._client = DynamicClient(transport, discoverer=lambda *_: None)  # type: ignore[no-untyped-call]

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
        finally:
            response.release_conn()

    def _request(self, verb: str, path: str, query: Mapping[str, str | int], **more: Any) -> Any:
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


def _said(error: ApiException) -> str:
    """The server's own sentence, which names verb, object and field."""
    try:
        said = json.loads(error.body or "")["message"]
    except (ValueError, KeyError, TypeError):
        said = error.reason or "no reason given"
    if error.status == 401:
        said += "; log in again, or check --context"
    return f"Kubernetes refused ({error.status}): {said}"
