"""What a storage library's error means: the one place where foreign errors are told apart and become ours."""

import errno
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from datascaler.errors import ConfigError, DatascalerError, NotFoundError, StorageError, first_line
from datascaler.storage.urls import is_local, local_path


class Answer(NamedTuple):
    """What a store answered to a request that failed; (0, "") when there was no answer at all."""

    status: int
    """HTTP."""
    code: str
    """S3's word for the fault, as NoSuchKey."""


NO_ANSWER = Answer(0, "")

CHANGED = "changed while it was being read; start again"


class WrongLengthError(OSError):
    """An answer that is not as long as what was asked for; the same request, made again, may be answered whole."""


_PASSING_STATUSES = {408, 409, 425, 429, 500, 502, 503, 504, 509}
"""409 is S3's word for "others are writing this at the moment"."""
_THROTTLING = {"SlowDown", "Throttling", "ThrottlingException", "TooManyRequests", "RequestLimitExceeded"}
_DAMAGED_ON_THE_WAY = {"BadDigest", "IncompleteBody", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch"}
"""What a server says of an upload whose checksum or length is not what was promised."""
_PASSING_CODES = {
    *(*_THROTTLING, *_DAMAGED_ON_THE_WAY),
    *("RequestTimeout", "InternalError", "ServiceUnavailable", "OperationAborted"),
}
"""Some of them come with status 400."""

_PASSING_ERRNOS = {
    *(errno.ETIMEDOUT, errno.EPIPE, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.ENETRESET),
    *(errno.EAGAIN, errno.EBUSY),
}
_PASSING_CLASSES = {
    "botocore.exceptions": {
        *("HTTPClientError", "ConnectionError", "ResponseParserError", "IncompleteReadError", "FlexibleChecksumError"),
    },
    "botocore.parsers": {"ResponseParserError"},
    "aiohttp.client_exceptions": {"ClientPayloadError", "ClientConnectionError"},
    "requests.exceptions": {"ConnectionError", "Timeout", "ChunkedEncodingError"},
    "httpx": {"TransportError"},
    "httpx2": {"TransportError"},
}
"""Names in place of classes, so that no client library is loaded to ask about its errors."""
_LACKING = "the file system there may lack what this takes: give a folder on another"
_REMEDIES = {
    **dict.fromkeys((errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.ENODEV), f"; {_LACKING}"),
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "; make room, or give a folder on another disk"),
    **dict.fromkeys((errno.ENOTCONN, errno.ESTALE, errno.EIO), "; the mount is broken: mount it anew, or use another"),
    errno.EROFS: "; it can only be read: give another folder",
    errno.ENAMETOOLONG: "; give a shorter path",
    errno.EISDIR: "; it is a folder: give a file",
    **dict.fromkeys((errno.EEXIST, errno.ENOTDIR), "; a file stands where a folder is to be: give another path"),
    errno.ELOOP: "; it is a symbolic link that leads back to itself: remove it, or give another path",
}
"""What to do about a fault of a local disk or mount."""
_OBSTORE_STATUS = re.compile(r"status code: (\d{3})")
_OBSTORE_CODE = re.compile(r"<Code>(\w+)</Code>")
_OBSTORE_BROKEN = re.compile(
    r"error sending request|HTTP error|error decoding response body|response body error|timed out"
    r"|Requested \d+\.\.\d+, got \d+\.\.\d+"
)
_CLIENTS = {
    *("botocore", "aiobotocore", "s3fs", "aiohttp", "obstore"),
    *("huggingface_hub", "httpx", "httpx2", "requests", "urllib3"),
    *("gcsfs", "google", "adlfs", "azure", "paramiko"),
}
"""Packages whose errors say that a store failed, or refused."""
_DAMAGED_ANSWERS = {"WrongLengthError", "FlexibleChecksumError"}


def answer_of(error: BaseException) -> Answer:
    """The HTTP status and code in an error of s3fs, obstore, or a client that has the status as an attribute."""
    for source in (error, error.__cause__):
        response = getattr(source, "response", None)
        if isinstance(response, dict):
            status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            return Answer(int(status), str(response.get("Error", {}).get("Code", "")))
        status = getattr(response, "status_code", None)
        if isinstance(status, int):
            return Answer(status, "")
    for name in ("status", "status_code", "code"):
        status = getattr(error, name, None)
        if isinstance(status, int) and 400 <= status < 600:
            return Answer(status, "")
    said = _OBSTORE_STATUS.search(str(error))
    if said is None:
        return NO_ANSWER
    code = _OBSTORE_CODE.search(str(error))
    return Answer(int(said[1]), code[1] if code else "")


def is_transient(error: BaseException) -> bool:
    """Whether the same request may well succeed later: the store was busy, or the connection broke."""
    answer = answer_of(error)
    if answer != NO_ANSWER:
        return answer.status in _PASSING_STATUSES or answer.code in _PASSING_CODES
    if _is_changed_file(error):
        return False
    if isinstance(error, TimeoutError | ConnectionError | WrongLengthError):
        return True
    if isinstance(error, OSError) and error.errno in _PASSING_ERRNOS:
        return True
    if _is_of(error, "obstore"):
        return bool(_OBSTORE_BROKEN.search(str(error)))
    return any(cls.__name__ in _PASSING_CLASSES.get(cls.__module__, ()) for cls in type(error).__mro__)


def has_answered(error: BaseException) -> bool:
    """Whether the store is there, and said so: it asks to come back later, or its answer arrived damaged."""
    answer = answer_of(error)
    is_damaged = type(error).__name__ in _DAMAGED_ANSWERS or answer.code in _DAMAGED_ON_THE_WAY
    return answer.status == 429 or answer.code in _THROTTLING or is_damaged


def require_length(url: str, start: int, end: int, found: int, size: Callable[[], int]) -> None:
    """Raise WrongLengthError unless an answer of `found` bytes is the part [start, end) of an object of this size.

    A range may reach beyond the object's end, so `size` is asked only where the answer is short.
    """
    asked = end - start
    if found > asked:
        raise StorageError(
            f"{url}: asked for {asked:,} bytes, the store sent {found:,}: it can't serve parts of files; "
            "copy the files to a store that can"
        )
    if found < asked:
        expected = max(0, min(end, size()) - start)
        if found != expected:
            raise WrongLengthError(f"got {found:,} of the {expected:,} bytes from {start} to {start + expected}")


def is_past_end(error: BaseException) -> bool:
    """Whether a range was asked for that begins where the object has ended."""
    return answer_of(error).status == 416


def empty_past_end(read: Callable[[], bytes]) -> bytes:
    """What `read` gives; no bytes if it asks for a range beyond the object's end, as a local file would have it."""
    try:
        return read()
    except Exception as error:
        if is_past_end(error):
            return b""
        raise


class _TranslatedErrors:
    """`translated_errors`. No generator: it is entered some twenty times for every one of thousands of files."""

    __slots__ = ("_url",)

    def __init__(self, url: str) -> None:
        self._url = url

    def __enter__(self) -> None:
        pass

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, Exception):
            translated = _translated(self._url, error)
            if translated is not None:
                raise translated from error


def translated_errors(url: str) -> _TranslatedErrors:
    """Turn the errors of fsspec and the clients below it into one sentence; leave unknown ones untouched."""
    return _TranslatedErrors(url)


def _translated(url: str, error: Exception) -> DatascalerError | None:
    """None for one that is not of a file, nor of a client of a store."""
    if isinstance(error, FileNotFoundError):
        if answer_of(error).code == "NoSuchBucket":
            return ConfigError(f"the bucket of {url} does not exist: make it, or correct the URL")
        return NotFoundError(f"{url}: not found ({_where_to_look(url)})")
    if isinstance(error, PermissionError):
        if error.errno == errno.EPERM and is_local(url):
            return StorageError(f"{url}: {first_line(error)}; {_LACKING}, or the file is protected")
        return StorageError(f"{url}: access denied ({first_line(error)}); check the credentials or the mode")
    if isinstance(error, OSError):
        if _is_changed_file(error):
            return StorageError(f"{url}: {CHANGED}")
        remedy = _REMEDIES.get(error.errno or 0, "") if is_local(url) else _web_remedy(url, error)
        return StorageError(f"{url}: {first_line(error)}{remedy}")
    if not _is_of(error, *_CLIENTS):
        return None
    if answer_of(error).status in (401, 403):
        said = answer_of(error).code or first_line(error)
        return StorageError(f"{url}: access denied ({said}); check the credentials or the mode")
    if _is_changed_file(error):
        return StorageError(f"{url}: {CHANGED}")
    is_s3 = url.startswith(("s3://", "s3a://")) and type(error).__name__ not in _DAMAGED_ANSWERS
    remedy = "; check AWS_ENDPOINT_URL and the AWS credentials in the environment" if is_s3 else ""
    return StorageError(f"{url}: {first_line(error)}{remedy or _web_remedy(url, error)}")


def _web_remedy(url: str, error: BaseException) -> str:
    """What to do where no web server has answered; of a proxy that can't be, an error has the address at most."""
    if not url.startswith(("http://", "https://")) or answer_of(error) != NO_ANSWER:
        return ""
    return "; check the address, and the proxy (http_proxy and https_proxy, as http://HOST:PORT)"


def _where_to_look(url: str) -> str:
    path = Path(local_path(url))
    if is_local(url) and path.is_symlink():
        return f"it is a symbolic link to {path.readlink()}, which is not there: fetch that file, or remove the link"
    return "check the bucket or folder and the path"


def _is_changed_file(error: BaseException) -> bool:
    """Whether an open file has changed; s3fs's error for that looks like a busy store's."""
    is_refused = _is_of(error, "obstore", "aiohttp") and answer_of(error).status == 412
    return type(error).__name__ == "FileExpired" or is_refused


def _is_of(error: BaseException, *packages: str) -> bool:
    return any(cls.__module__.partition(".")[0] in packages for cls in type(error).__mro__)
