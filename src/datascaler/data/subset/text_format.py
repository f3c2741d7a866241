"""Subsets as `.txt`: one uid of 32 hex digits a line. Blank lines and blanks around a uid mean nothing."""

from codecs import BOM_UTF8
from collections.abc import Iterator
from typing import IO

import numpy as np
from numpy.typing import NDArray

from datascaler import storage
from datascaler.data.pool.hex_uids import UID_DIGITS, digits_of_uids, uids_of_digits
from datascaler.data.pool.uids import UID_DTYPE, is_uid, uid_array
from datascaler.errors import ConfigError

_LINE_BYTES = UID_DIGITS + 1
_LINES_AT_A_TIME = 1 << 20
_SHOWN_LETTERS = 40


def write_txt(file: IO[bytes], uids: NDArray[np.void]) -> None:
    for first in range(0, len(uids), _LINES_AT_A_TIME):
        digits = digits_of_uids(uids[first : first + _LINES_AT_A_TIME])
        lines = np.full((len(digits), _LINE_BYTES), ord("\n"), np.uint8)
        lines[:, :UID_DIGITS] = digits
        file.write(lines.tobytes())


def read_txt(url: str) -> NDArray[np.void]:
    parts = [np.empty(0, UID_DTYPE)]
    line = 1
    with storage.translated_errors(url), storage.open_read(url) as file:
        for piece in _whole_lines(file):
            parts.append(_uids_of(piece.removeprefix(BOM_UTF8) if line == 1 else piece, line))
            line += piece.count(b"\n")
    return np.concatenate(parts)


def _whole_lines(file: IO[bytes]) -> Iterator[bytes]:
    """The file in pieces that end where a line does."""
    rest = b""
    while piece := file.read(_LINES_AT_A_TIME * _LINE_BYTES):
        lines, newline, tail = piece.rpartition(b"\n")
        if newline:
            yield rest + lines + newline
            rest = tail
        else:
            rest += tail
    if rest:
        yield rest + b"\n"


def _uids_of(lines: bytes, first_line: int) -> NDArray[np.void]:
    table = np.frombuffer(lines, np.uint8)
    if len(table) % _LINE_BYTES == 0:
        table = table.reshape(-1, _LINE_BYTES)
        uids, is_hex = uids_of_digits(table[:, :UID_DIGITS])
        if is_hex.all() and (table[:, UID_DIGITS] == ord("\n")).all():
            return uids
    # Not as we write it: line by line, for what people's editors make of it and for the number of a wrong line.
    texts = [line.strip().decode("ascii", "replace") for line in lines.split(b"\n")]
    for number, text in enumerate(texts, start=first_line):
        if text and not is_uid(text):
            raise ConfigError(f"line {number} is not a uid of 32 hex digits: {text[:_SHOWN_LETTERS]!r}")
    return uid_array(text for text in texts if text)
