"""What errors that nobody translated mean for the user: told by their kind, not by the library that they come from."""

import os
from types import TracebackType

from datascaler.errors import ConfigError, DatascalerError, StorageError, TryAgainError
from datascaler.safe_text import safe_message

_HERE = os.path.dirname(__file__)  # noqa: PTH120 - pathlib is not loaded for --help
_LONGEST = 300
"""Letters of a foreign message that are shown."""
_NETWORK = ("connection", "timeout", "endpoint", "resolve", "network", "offline", "proxy", "ssl", "httperror", "dns")
"""Words in the names of classes that fail because of what lies between two machines."""


def what_it_means(error: BaseException) -> DatascalerError | None:
    """One of ours in place of an error of the system, the network or of names; None for what may be a fault here."""
    import errno

    said = said_by(error)
    match error:
        case UnicodeError():
            return ConfigError(f"a name or text is not UTF-8 ({_around(error)!r}): rename it, or write it as UTF-8")
        case MemoryError():
            return TryAgainError("there is not enough memory: take smaller batches or fewer workers, or more memory")
        case RecursionError():
            return ConfigError("a file or value is nested too deep to be read")
        case OSError() if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return StorageError(f"{said}: make room there, or set TMPDIR to a larger disk")
        case OSError() if error.errno in (errno.EMFILE, errno.ENFILE):
            return StorageError(f"{said}: raise the limit of open files (ulimit -n), or take fewer workers")
        case OSError() if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            return StorageError(f"{said}: check who may read and write it")
        case OSError() if error.errno is not None and error.filename is not None:
            return StorageError(f"{said}: check the path")
    names = " ".join(cls.__name__.lower() for cls in type(error).__mro__)
    if isinstance(error, ConnectionError | TimeoutError) or any(word in names for word in _NETWORK):
        return StorageError(f"{said}: check the address, the network and the proxy (http_proxy, no_proxy)")
    is_of_code = isinstance(error, SyntaxError | NameError | AssertionError)  # whatever the URL was
    if not is_of_code and _place(error.__traceback__).startswith("storage/"):  # a store's client, of a URL or a setting
        return StorageError(
            f"{said}: check the URL, and what the environment says of stores and proxies (AWS_*, http_proxy)"
        )
    return None


def _around(error: UnicodeError) -> str | bytes:
    """The line of a text that can't be encoded or decoded, or what is near the fault where lines are long."""
    if not isinstance(error, UnicodeDecodeError | UnicodeEncodeError):
        return ""
    text, start, end = error.object, error.start, error.end
    if isinstance(text, str):
        first, last = text.rfind("\n", 0, start) + 1, text.find("\n", end)
    else:
        first, last = text.rfind(b"\n", 0, start) + 1, text.find(b"\n", end)
    return text[max(first, start - 40) : min(last if last >= 0 else len(text), end + 40)]


def said_by(error: BaseException) -> str:
    """The class, its words on one line, and the last place of ours that it went through."""
    words = " ".join(str(error).split())
    words = words if len(words) <= _LONGEST else f"{words[:_LONGEST]} ..."
    place = _place(error.__traceback__)
    return safe_message(f"{type(error).__name__}{words and ': '}{words}{place and f' ({place})'}")


def _place(trace: TracebackType | None) -> str:
    found = ""
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file.startswith(_HERE) and not file.endswith("main.py"):
            found = f"{os.path.relpath(file, _HERE)}:{trace.tb_lineno}"
        trace = trace.tb_next
    return found
