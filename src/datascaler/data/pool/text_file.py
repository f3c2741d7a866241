"""Text files that have an entry a line: read the same way wherever a line's number or content is data."""

from hashlib import sha256

from datascaler import storage
from datascaler.errors import ConfigError


def read_text_file(url: str) -> tuple[str, str]:
    """The text and 16 hex digits of its hash. Raises ConfigError where it is not UTF-8."""
    content = storage.read_bytes(url)
    return decode_text(content, url), sha256(content).hexdigest()[:16]


def decode_text(content: bytes, name: str) -> str:
    """The text without the byte order mark that some editors put before it. Raises ConfigError if it is not UTF-8."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name} is not UTF-8 ({error})") from error


def split_lines(text: str) -> list[str]:
    """All lines, blank ones too: line k + 1 of the file is item k, whatever the other lines hold.

    A break at the very end closes the last line. Breaks are those of a text file that Python opens (LF, CRLF, CR), not
    the seven others of `str.splitlines`, which occur inside names and captions.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return lines if lines[-1] else lines[:-1]


def read_list(url: str) -> tuple[list[str], str]:
    """The stripped lines of a list whose order means nothing, without blank ones, and the file's hash.

    Raises ConfigError where there are none.
    """
    text, digest = read_text_file(url)
    lines = [line.strip() for line in split_lines(text) if line.strip()]
    if not lines:
        raise ConfigError(f"{url} is empty: one entry a line is needed")
    return lines, digest
