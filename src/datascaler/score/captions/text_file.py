"""Text files that say what a rule looks for, named by their content."""

from hashlib import sha256

from datascaler import storage
from datascaler.errors import ConfigError


def read_text_file(url: str) -> tuple[str, str]:
    """The text and 16 hex digits of its hash. Raises ConfigError where it is not UTF-8."""
    content = storage.read_bytes(url)
    try:
        return content.decode("utf-8-sig"), sha256(content).hexdigest()[:16]
    except UnicodeDecodeError as error:
        raise ConfigError(f"{url} is not a text file in UTF-8 ({error})") from error


def read_lines(url: str) -> tuple[list[str], str]:
    """The lines that are not empty, stripped, and the hash. Raises ConfigError where there are none."""
    text, digest = read_text_file(url)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise ConfigError(f"{url} is empty: one entry a line is needed")
    return lines, digest
