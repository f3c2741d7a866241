"""Texts that would be more than texts to YAML, to helm's templates, to Kubernetes or to a terminal."""

import random
from collections.abc import Sequence

LINES = (
    *("a\n  hostNetwork: true", "a\nhostPID: true\n", "a\n\n\n", "\n", "\n a", "  a\nb", "a \nb ", "a\r\nb", "\ta\n"),
    *("x: y", "- a", "{a: b}", "[a]", "*a", "&a b", "!!binary a", "? a", "<<", "a: |\n  b", "---", "...", "%YAML 1.1"),
)
WORDS = (
    *("a # b", "#", "'", '"', "\\", "\\n", '\\"', "`", "@a", "%a", "|", ">-", "=", ",", "a,b=c", "-", "--flag", ":"),
    *("true", "yes", "No", "on", "null", "Null", "~", "1e3", "0x10", "0o17", "017", "0b1", "1_000", ".inf", ".nan"),
    *("12:30:45", "2026-01-01", " ", " a", "a ", "é", "e\u0301", "日本", "🙂", "١٢", "\uff0e"),
)
EXPANDED = (
    *("{{ .Values }}", "{{- fail `x` }}", "{{", "}}", "{{/* a */}}", "$(HOME)", "$$", "$$(X)", "$", "dol$lar", "${X}"),
    *("$(", "a$(b", "%s", "%!d", "..", "../x", "/", "~/x"),
)
CONTROLS = ("\0", "a\0b", "\x1b[2J", "\x07", "\x0b", "\x0c", "\x1f", "\x7f", "\x85", "\xa0", "\u2028", "\u2029")
UNICODE = ("\ufeff", "a\ufeff", "\ufffe", "\uffff", "\ud83d", "\udcff", "\u202egnp", "\U000e0001", "\U0010ffff")
LONG = ("a" * 5_000, "é" * 3_000, "a b" * 2_000, "{" * 1_000)
HOSTILE = LINES + WORDS + EXPANDED + CONTROLS + UNICODE + LONG


def hostile_texts(drawn: random.Random, number: int, beside: str = "a") -> Sequence[str]:
    """Such texts, alone, in pairs, and before or behind one that is harmless."""
    return [_joined(drawn, beside) for _ in range(number)]


def _joined(drawn: random.Random, beside: str) -> str:
    one, other = drawn.sample(HOSTILE, 2)
    return drawn.choice((one, one, one, one + other, beside + one, one + beside))
