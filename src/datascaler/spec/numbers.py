"""Number forms that flags accept: 128_000_000, 128M, 0.1875, 3/16, true; and lists of indexes, 3,17,20-22."""

import re
from collections import Counter
from fractions import Fraction

from datascaler.errors import ConfigError

_SUFFIXES = {"K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
_BYTES = {
    f"{letter}{binary}": base**power
    for power, letter in enumerate("KMGT", start=1)
    for binary, base in (("", 1000), ("I", 1024))
}
_LONG_EXPONENT = re.compile(r"[eE][-+]?[0-9_]{3,}")
_TRUE, _FALSE = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}


def parse_count(text: str | int) -> int:
    """A whole number: `128_000_000`, `128000000`, `128M`, `12.8M`."""
    if isinstance(text, int):
        return text
    digits, scale = text.strip(), 1
    if digits and digits[-1].upper() in _SUFFIXES:
        digits, scale = digits[:-1], _SUFFIXES[digits[-1].upper()]
    try:
        value = _exact(digits) * scale
    except (ValueError, ZeroDivisionError):
        raise ConfigError(f"not a whole number: {text!r} (write 128000000, 128_000_000 or 128M)") from None
    if value.denominator != 1:
        raise ConfigError(f"not a whole number: {text!r} is {float(value)}")
    return int(value)


def parse_bytes(text: str | int) -> int:
    """A size: `50G` and `50GB` are 50 * 10^9 bytes, `50Gi` and `50GiB` 50 * 2^30; plain digits are bytes."""
    match = re.fullmatch(r"\s*(\d[\d_]*(?:\.\d+)?)\s*([KMGT]I?)?B?\s*", str(text).upper())
    size = Fraction(match[1]) * _BYTES.get(match[2], 1) if match else Fraction(1, 2)
    if size.denominator != 1:
        raise ConfigError(f"not a size: {text!r} (write 50G, 50Gi or a number of bytes)")
    return int(size)


def parse_fraction(text: str | float | Fraction) -> Fraction:
    """An exact fraction from decimal or `a/b` text, never through binary floating point: 0.3 is 3/10."""
    try:
        return _exact(str(text).strip())
    except (ValueError, ZeroDivisionError):
        raise ConfigError(f"not a number: {text!r} (write 0.1875 or 3/16)") from None


def _exact(text: str) -> Fraction:
    """Raises ValueError for what is no number, and for exponents whose digits would fill the memory."""
    if _LONG_EXPONENT.search(text):
        raise ValueError(text)
    return Fraction(text)


def parse_bool(text: str | bool) -> bool:
    if isinstance(text, bool):
        return text
    word = text.strip().lower()
    if word in _TRUE | _FALSE:
        return word in _TRUE
    raise ConfigError(f"not a truth value: {text!r} (write true or false)")


def parse_indexes(text: str) -> list[int]:
    """`3,17,20-22` -> 3, 17, 20, 21, 22; each once."""
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        if not match:
            raise ConfigError(f"not a list of indexes: {text!r} (write 3,17,20-22)")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise ConfigError(f"the range {first}-{last} in {text!r} runs backwards")
        found += range(first, last + 1)
    again = sorted(each for each, times in Counter(found).items() if times > 1)
    if again:
        raise ConfigError(f"{again[0]} stands twice in {text!r}")
    return found


def format_fraction(value: Fraction) -> str:
    """The shortest exact decimal (`0.1875`), or `a-b` where there is none, for use in folder names."""
    remaining, decimals = value.denominator, 0
    for prime in (2, 5):
        powers = 0
        while remaining % prime == 0:
            remaining, powers = remaining // prime, powers + 1
        decimals = max(decimals, powers)
    if remaining != 1:
        return f"{value.numerator}-{value.denominator}"
    decimals = max(decimals, 1)
    digits = f"{abs(value) * 10**decimals}".zfill(decimals + 1)
    return f"{'-' if value < 0 else ''}{digits[:-decimals]}.{digits[-decimals:]}"
