"""A client of the Hugging Face hub: which files a data set has, their checksums, and their bytes from any place on.

The token goes to the hub's own address and nowhere else: files lie on other hosts, to which the hub's answers point.
"""

import json
import os
import re
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPResponse
from typing import Any, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urljoin, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from datascaler import storage
from datascaler.errors import BadInputError, ConfigError, StorageError, TryAgainError, first_line
from datascaler.safe_text import shown

HUB = "https://huggingface.co"
_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 5
_ASKED_TO_WAIT = (429, 503)
_TIMEOUT_SECONDS = 60.0
_LARGEST_ANSWER_BYTES = 64 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHA1 = re.compile(r"[0-9a-f]{40}")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file of a data set, as the hub's listing has it."""

    path: str
    size: int
    """Bytes."""
    sha256: str
    """The digest of its content; empty for a small file, which git holds itself."""
    blob: str
    """Git's name of a small file's content."""

    @property
    def checksum(self) -> str:
        return self.sha256 or self.blob


class _AsItIs(HTTPRedirectHandler):
    """Redirects are followed by the hub's client, which knows where its token may go."""

    def redirect_request(self, *_: Any) -> None:
        return None


@dataclass(slots=True)
class Hub:
    """The hub at `endpoint`; proxies are those of the environment."""

    endpoint: str = HUB
    token: str = field(default="", repr=False)
    has_answered: bool = False

    @classmethod
    def of_environment(cls) -> "Hub":
        """The hub that HF_ENDPOINT names, with the token in HF_TOKEN, as the hub's own library has them."""
        endpoint = os.environ.get("HF_ENDPOINT", "").rstrip("/") or HUB
        if urlsplit(endpoint).scheme not in ("http", "https") or not urlsplit(endpoint).netloc:
            raise ConfigError(f"HF_ENDPOINT must be the address of a hub, as {HUB}, got {shown(endpoint)}")
        return cls(endpoint, os.environ.get("HF_TOKEN", "").strip())

    def list_files(self, repository: str) -> tuple[str, dict[str, HubFile]]:
        """The newest commit of a data set, and its files by their paths."""
        about = self._json(f"{self.endpoint}/api/datasets/{repository}/revision/main", repository)
        commit = about[0].get("sha") if isinstance(about[0], dict) else None
        if not isinstance(commit, str) or not _SHA1.fullmatch(commit):
            raise BadInputError(f"{self.endpoint} says nothing of the newest commit of {repository}: is it a hub?")
        files: dict[str, HubFile] = {}
        page: str | None = f"{self.endpoint}/api/datasets/{repository}/tree/{commit}?recursive=true"
        while page:
            entries, page = self._json(page, repository)
            if not isinstance(entries, list):
                raise BadInputError(f"{self.endpoint}: the listing of {repository} is no list: is it a hub?")
            files |= {each.path: each for each in map(_file_of, entries) if each}
        return commit, files

    def file_url(self, repository: str, commit: str, path: str) -> str:
        return f"{self.endpoint}/datasets/{repository}/resolve/{commit}/{quote(path)}"

    def patiently(self, url: str, act: Callable[[], _Result]) -> _Result:
        """What `act` gives, which is called again while it fails in passing, as for a store.

        Raises StorageError, or what `open` raises.
        """
        try:
            result = storage.retried(url, act)
        except StorageError as error:
            if self.has_answered:
                raise
            raise StorageError(
                f"{self.endpoint} can't be reached ({first_line(error)}): fetch the sets where there is a network, or "
                "set HTTPS_PROXY, or HF_ENDPOINT to a mirror"
            ) from error
        return result

    def open(self, url: str, repository: str, start: int = 0) -> HTTPResponse:
        """An answer with the bytes of a file from `start` on, if its status is 206, else with all of them.

        Raises BadInputError for a data set that isn't there or may not be read, TryAgainError where the hub asks for
        more patience than there is, and what the system raises for a connection that fails.
        """
        for _ in range(_MOST_REDIRECTS + 1):
            headers = {"Accept-Encoding": "identity", "User-Agent": "datascaler"}
            if start:
                headers["Range"] = f"bytes={start}-"
            if self.token and _origin(url) == _origin(self.endpoint):
                headers["Authorization"] = f"Bearer {self.token}"
            try:
                answer: HTTPResponse = build_opener(_AsItIs).open(
                    Request(url, headers=headers), timeout=_TIMEOUT_SECONDS
                )
            except HTTPError as error:
                self._note_answer()
                with closing(error):
                    if error.code in _REDIRECTS and error.headers.get("Location"):
                        url = urljoin(url, error.headers["Location"])
                        continue
                    raise self._refusal(url, error, repository) from error
            except URLError as error:
                raise (error.reason if isinstance(error.reason, OSError) else error) from error
            except HTTPException as error:
                raise ConnectionError(f"no sound answer: {first_line(error) or type(error).__name__}") from error
            self._note_answer()
            return answer
        raise BadInputError(f"{repository}: more than {_MOST_REDIRECTS} redirects in a row")

    def _note_answer(self) -> None:
        """The hub has answered: failures that may pass are waited out from now on."""
        self.has_answered = True
        storage.assume_answers(self.endpoint)

    def _refusal(self, url: str, error: HTTPError, repository: str) -> Exception:
        page = f"{self.endpoint}/datasets/{repository}"
        if error.code in (401, 403):
            if _origin(url) != _origin(self.endpoint):
                # Addresses of large files are good for a while only: the hub gives a new one.
                return ConnectionError(f"the address of the file is not good any more ({error.code})")
            remedy = "is HF_TOKEN right?" if self.token else "set HF_TOKEN"
            return BadInputError(f"{page} may not be read ({error.code}): accept its terms on that page; {remedy}")
        if error.code in (404, 410):
            return BadInputError(
                f"{page} has not got it ({error.code}): get the set elsewhere and put it into the folder, or leave its "
                "task out with --tasks"
            )
        if error.code in _ASKED_TO_WAIT and (seconds := _seconds_asked(error.headers.get("Retry-After", ""))):
            if seconds > storage.retry_seconds():
                return TryAgainError(
                    f"{self.endpoint} asks to wait {seconds:,.0f} s: run the same command then; what is fetched is kept"
                )
            time.sleep(seconds)
        return error

    def _json(self, url: str, repository: str) -> tuple[Any, str | None]:
        """An answer's content, and the address of the page after it."""

        def act() -> tuple[bytes, str]:
            with closing(self.open(url, repository)) as answer:
                content = answer.read(_LARGEST_ANSWER_BYTES)
                if len(content) != int(answer.headers.get("Content-Length") or len(content)):
                    raise ConnectionError("the answer broke off")
                return content, answer.headers.get("Link", "")

        content, links = self.patiently(url, act)
        try:
            found = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise BadInputError(f"{url}: no JSON ({first_line(error)}): is {self.endpoint} a hub?") from error
        following = re.search(r'<([^<>]+)>\s*;\s*rel="?next"?', links)
        return found, urljoin(url, following[1]) if following else None


def _origin(url: str) -> tuple[str, str]:
    """Scheme, host and port."""
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()


def _file_of(entry: Any) -> HubFile | None:
    """A file of a listing; None for a folder, and for what has no checksum."""
    if not isinstance(entry, dict) or entry.get("type") != "file":
        return None
    lfs = entry.get("lfs")
    large: dict[str, Any] = lfs if isinstance(lfs, dict) else {}
    path, size = entry.get("path"), large.get("size", entry.get("size"))
    sha256, blob = str(large.get("oid", "")), "" if large else str(entry.get("oid", ""))
    known = _SHA256.fullmatch(sha256) if large else _SHA1.fullmatch(blob)
    if not isinstance(path, str) or not isinstance(size, int) or size < 0 or not known:
        return None
    return HubFile(path, size, sha256, blob)


def _seconds_asked(text: str) -> float:
    """A Retry-After: a number of seconds, or a moment."""
    if text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return 0.0
