"""What other libraries say that helps nobody here: it is left out, or one line with the remedy stands in its place.

What means a wrong result is no noise: `foreign_warnings` lists that.
"""

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_log = logging.getLogger(__name__)


@contextmanager
def without_warning(pattern: str) -> Iterator[None]:
    """Show no warning meanwhile that begins with this regular expression."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", pattern)
        yield


@contextmanager
def said_once(logger: str, pattern: str, line: str = "") -> Iterator[None]:
    """Leave out meanwhile what a logger says in such words. Where a line is given, that is said in its place, once."""
    told = not line

    def keep(record: logging.LogRecord) -> bool:
        nonlocal told
        if not re.search(pattern, record.getMessage()):
            return True
        # By a logger of ours: the library's may have several handlers.
        if not told:
            told = True
            _log.warning(line)
        return False

    named = logging.getLogger(logger)
    named.addFilter(keep)
    try:
        yield
    finally:
        named.removeFilter(keep)
