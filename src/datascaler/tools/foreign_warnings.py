"""The warnings of other libraries that mean a wrong result: each becomes an error, or a row with its reason.

A library warns and goes on where it can't know what its caller needs. Here the caller needs the right numbers, so what
is listed is never let through. The warnings of open_clip 3.3, torch 2.15, Pillow 13, webdataset 1.0 and pyarrow 26 were
looked at; those that are not listed concern speed, deprecation, what is not used here, or metadata that nothing reads:

- Pillow: bombs are refused by `data.images` itself; a malformed MPO or APNG is its first picture, as intended; what is
  wrong with EXIF concerns no pixel, unless the file is a TIFF, whose picture is described by the same tags.
- webdataset warns only in handlers that skip what fails (`warn_and_continue`); none is used, a failure is raised.
- pyarrow warns of nothing that is read or written here; torch.load's words on TorchScript are met by `openai_layout`.
- open_clip stretches position embeddings and only logs it, below a warning's level: `models.load` compares shapes.
"""

import logging
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from datascaler.errors import ConfigError


@dataclass(frozen=True, slots=True)
class WrongResult:
    """A message that means a wrong result."""

    library: str
    channel: Literal["warning", "log"]
    """`warnings.warn`, or the root logger."""
    pattern: str
    """A regular expression for how the message begins."""
    meaning: str
    becomes: Literal["error", "row"] = "error"
    image_format: str = ""
    """Only in files of this format."""


WRONG_RESULTS = (
    WrongResult("open_clip", "warning", "QuickGELU mismatch", "the weights run with another activation than they had"),
    WrongResult("open_clip", "log", "No pretrained weights loaded", "the weights are random"),
    WrongResult("open_clip", "log", "Model .* initialized partially", "a part of the weights is random"),
    WrongResult("open_clip", "log", "Local config loaded, but no CLIP weights", "the weights are random"),
    WrongResult("open_clip", "log", "Could not find/download default weights", "the weights are random"),
    WrongResult("open_clip", "log", "Multiple checkpoints found", "which weights were taken is chance"),
    WrongResult("open_clip", "log", "Ignoring `pretrained=", "other weights were taken than those asked for"),
    WrongResult("open_clip", "log", "Error loading (image|text) tower weights", "the weights of a tower are random"),
    WrongResult("open_clip", "log", "Invalid file path specified for pretrained_", "the weights of a tower are random"),
    WrongResult("open_clip", "log", "Could not load config from hf-hub", "the tokenizer may be of another model"),
    WrongResult("open_clip", "log", "Model configuration not found", "the tokenizer may be of another model"),
    WrongResult("open_clip", "warning", "Cannot set language for the tokenizer", "texts are cut into other tokens"),
    WrongResult("torch", "warning", "for .*: copying from a non-meta parameter", "weights of the file were not loaded"),
    WrongResult("torch", "warning", "In .* autocast, but the target dtype is not", "another precision than asked for"),
    WrongResult("torch", "warning", ".*cuda is not available.*disabling", "another precision than asked for"),
    WrongResult("torch", "warning", "optimizer contains a parameter group with dup", "a weight is stepped twice"),
    WrongResult("Pillow", "warning", "Image was not the expected size", "the picture is not as the header says", "row"),
    WrongResult("Pillow", "warning", "Palette images with Transparency expressed", "transparency is lost", "row"),
    WrongResult("Pillow", "warning", "Couldn't allocate palette entry", "transparency is lost", "row"),
    WrongResult(
        "Pillow",
        "warning",
        "Tag data larger than file|Tag offset too large|Possibly corrupt EXIF data",
        "a tag that describes the picture was skipped",
        "row",
        image_format="TIFF",
    ),
)
_WARNED = "|".join(each.pattern for each in WRONG_RESULTS if each.channel == "warning")


@contextmanager
def refuse_wrong_results(problem: str) -> Iterator[None]:
    """Raise ConfigError, with `problem` first, where a library warned of a wrong result in this thread meanwhile."""
    with heard() as found:
        yield
    if found:
        message, why = found[0]
        raise ConfigError(f"{problem}: {why.meaning} ({why.library}: {message})")


@contextmanager
def heard() -> Iterator[list[tuple[str, WrongResult]]]:
    """A list that gets the messages of the table that are said in this thread while the context is open.

    Warning filters belong to the process, so they are set while any thread listens, for the messages of the table and
    for Pillow's others, which are silenced; the last to go restores them. Other threads get the table's as before.
    """
    found: list[tuple[str, WrongResult]] = []
    lists = _listening.__dict__.setdefault("lists", [])
    lists.append(found)
    with _shared:
        try:
            yield found
        finally:
            lists.pop()


def listening() -> AbstractContextManager[None]:
    """While open, the process's filters stay set, so `heard` costs a tenth: it would set them for every picture."""
    return _shared


_listening = threading.local()


def _hear(channel: str, message: str) -> bool:
    """Whether this thread listens for the message; then it is noted."""
    lists = _listening.__dict__.get("lists") or []
    for each in WRONG_RESULTS if lists else ():
        if each.channel == channel and re.match(each.pattern, message, re.IGNORECASE):
            lists[-1].append((message, each))
            return True
    return False


def _record_heard(record: logging.LogRecord) -> bool:
    """A filter of the root logger, which keeps what is heard from being printed too."""
    return not _hear("log", record.getMessage())


class _Shared(AbstractContextManager[None]):
    """The process's filters, set by the first thread that listens and restored by the last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners = 0
        self._set = ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if self._listeners == 0:
                self._set.enter_context(_filters())
            self._listeners += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._listeners -= 1
            if self._listeners == 0:
                self._set.close()


_shared = _Shared()


@contextmanager
def _filters() -> Iterator[None]:
    root = logging.getLogger()
    # open_clip calls `logging.info`, which gives a root logger without a handler one for good.
    handler = None if root.handlers else logging.lastResort
    with warnings.catch_warnings():
        show = warnings.showwarning

        def show_others(message: Warning | str, *rest: Any, **named: Any) -> None:
            if not _hear("warning", str(message)):
                show(message, *rest, **named)

        warnings.filterwarnings("ignore", module=r"PIL\.")
        warnings.filterwarnings("always", message=_WARNED)
        warnings.showwarning = show_others
        root.addFilter(_record_heard)
        if handler:
            root.addHandler(handler)
        try:
            yield
        finally:
            root.removeFilter(_record_heard)
            if handler:
                root.removeHandler(handler)
