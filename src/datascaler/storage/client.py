"""Which client reads: fsspec's own, which always works, or obstore, which takes a tenth of its CPU per request.

obstore never returns from a call in a process that was forked from one that has used it. Such a child goes back to
fsspec, with a warning. Switch obstore on inside loader workers that are started by forkserver or spawn, and leave the
parent with fsspec.
"""

import importlib.util
import logging
import os
from typing import TYPE_CHECKING, Literal, get_args

from datascaler.errors import ConfigError
from datascaler.storage.error_translation import translated_errors
from datascaler.storage.obstore_url import obstore_of

if TYPE_CHECKING:
    from datascaler.storage.obstore_url import Store

ClientName = Literal["fsspec", "obstore"]

_log = logging.getLogger(__name__)


class _State:
    """The choice of this process."""

    client: ClientName = "fsspec"
    used_in: int | None = None
    """The process that first used obstore: this one, or one that this one was forked from."""
    warned = False


def use_client(name: ClientName) -> None:
    """Read objects of s3://, gs:// and az:// with this client from now on, in this process.

    Raises ConfigError if there is no such client, or its package is not installed.
    """
    if name not in get_args(ClientName):
        raise ConfigError(f"the storage client must be one of {', '.join(get_args(ClientName))}, got {name!r}")
    if name == "obstore" and importlib.util.find_spec("obstore") is None:
        raise ConfigError(
            "the storage client obstore is not installed: pip install 'datascaler[worker]', or use fsspec"
        )
    _State.client = name


def fast_store(url: str) -> "tuple[Store, str] | None":
    """The obstore store of a URL and the path in it; None where fsspec is to read it."""
    if _State.client != "obstore":
        return None
    if _State.used_in not in (None, os.getpid()):
        if not _State.warned:
            _State.warned = True
            _log.warning(
                "process %d was forked from one that has used obstore, which cannot work here: reading with fsspec; "
                "start processes by forkserver or spawn",
                os.getpid(),
            )
        return None
    with translated_errors(url):
        found = obstore_of(url)
    if found is not None:
        _State.used_in = os.getpid()
    return found
