"""Texts as they may be shown: without secrets, and without characters that a terminal acts on.

The one place for both. What is printed, logged, raised or recorded passes through here: a URL may hold a password or a
signature, and the names and texts in somebody else's files may hold anything.
"""

import os
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

SECRET_MARK = "***"
"""What stands where a secret was."""
LONGEST_MESSAGE = 1 << 16
"""Letters of an error: what a file makes longer is cut."""
_SHOWN_LETTERS = 40

_PARAMETERS = (
    r"(?:x-)?(?:amz|goog|oss|obs|cos|ms)-(?:[\w-]{0,20}-)?(?:signature|credential|token)|awsaccesskeyid|googleaccessid|"
    r"ossaccesskeyid|signature|sig|policy|key-pair-id|"
    r"(?:[\w.-]{0,20}[_.-])?(?:token|secret|password|passwd|pwd|api_?key|access_?key|secret_?key|auth)"
)
"""Parameters of URLs that open what the URL names."""
_SECRETS = tuple(
    (re.compile(pattern, re.IGNORECASE), instead)
    for pattern, instead in (
        # Userinfo. A key may hold slashes that nobody escaped; digits before a slash are a port.
        (r"(://)[^\s'\"<>/@:]{0,256}:(?!\d{1,5}(?:[/?#\s'\"]|$))[^\s'\"<>@]{0,512}@", rf"\1{SECRET_MARK}@"),
        (r"((?:https?|s3a?|gs|gcs|ftps?)://)[^\s'\"<>/?#@]{1,512}@", rf"\1{SECRET_MARK}@"),
        (rf"((?:[?&;]|%3F|%26)(?:{_PARAMETERS})(?:=|%3D))[^&\s'\"<>#]+", rf"\1{SECRET_MARK}"),
        (
            r"(\bx-(?:amz|goog)-(?:signature|credential|security-token)['\"]?\s?[=:]\s?['\"]?)[^&\s'\"<>#,]+",
            rf"\1{SECRET_MARK}",
        ),
        (r"(\bbearer\s)[\w.~+/=-]{8,}", rf"\1{SECRET_MARK}"),
        # Basic is a word of its own elsewhere, and a method's name.
        (r"(\bauthorization['\"]?\s?[=:]\s?['\"]?basic\s)[\w.~+/=-]{8,}", rf"\1{SECRET_MARK}"),
        (r"\b(?:hf_|gh[opsur]_|github_pat_|glpat-|sk-|xox[a-z]-)[\w-]{16,}", SECRET_MARK),
        (r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*", SECRET_MARK),
        (r"(-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----)[^-]{1,16384}", rf"\1{SECRET_MARK}"),
    )
)
_SECRET_VARIABLE = re.compile(r"(?:TOKEN|SECRET|PASSWORD|PASSWD|API_KEY|ACCESS_KEY)$")
_SHORTEST_SECRET = 8
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""C0 and C1 controls, what turns the direction of writing around or breaks a line, and halves of characters."""
_CONTROLS_IN_LINES = re.compile(_CONTROLS.pattern.replace("\x00-\x1f", "\x00-\x08\x0b\x0c\x0e-\x1f"))
"""The same without what whole lines are made of: tab, line feed, carriage return."""


def redacted(text: str) -> str:
    """The text with a mark in place of each secret: userinfo and signatures of URLs, tokens, and the values of this
    process's variables whose names end in TOKEN, SECRET, PASSWORD or KEY.
    """
    for secret in _own_secrets():
        text = text.replace(secret, SECRET_MARK)
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


def has_userinfo(url: str) -> bool:
    """Whether a name, a password or a key stands before the URL's host."""
    return any(pattern.search(url) for pattern, _ in _SECRETS[:2])


@lru_cache(1024)
def is_secret(variable: str) -> bool:
    """Whether an environment variable of this name holds a secret."""
    return _SECRET_VARIABLE.search(variable.upper()) is not None


def without_secrets(value: Any) -> Any:
    """JSON-like data with every text redacted."""
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, Mapping):
        return {without_secrets(key): without_secrets(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_secrets(item) for item in value]
    return value


def printable(text: str) -> str:
    """One line that a terminal shows as it is: each control character is written as its escape."""
    return _CONTROLS.sub(_escape, text)


def printable_lines(text: str) -> str:
    """The same of whole lines, which stay lines."""
    return _CONTROLS_IN_LINES.sub(_escape, text)


def shown(value: object) -> str:
    """A value out of somebody else's file, short enough for a message; never what its own `repr` makes of it."""
    if isinstance(value, str | bytes):
        cut = value[:_SHOWN_LETTERS]
        return repr(cut) + "..." * (len(value) > len(cut))
    if value is None or isinstance(value, bool | float) or (isinstance(value, int) and value.bit_length() < 128):
        return repr(value)
    return f"a value of type {type(value).__name__}"


def safe_message(text: str) -> str:
    """A message as it may be raised, printed and kept: one line of bounded length, without secrets."""
    cut = text[:LONGEST_MESSAGE]
    left = f"... ({len(text) - len(cut):,} letters more)" * (len(text) > len(cut))
    return printable(redacted(cut)) + left


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


def _own_secrets() -> list[str]:
    """The longest first: one may be part of another."""
    values = {value for name, value in os.environ.items() if is_secret(name) and len(value) >= _SHORTEST_SECRET}
    return sorted(values, key=len, reverse=True)
