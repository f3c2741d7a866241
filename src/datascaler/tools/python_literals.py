"""Python literals, which the header of a .npy file is too, read by one thread at a time.

CPython 3.11 counts the depth of what it parses once for all threads: where two parse at the same time, either may end
with "SystemError: AST constructor recursion depth mismatch", though its text is sound (python/cpython#106905).
"""

import ast
import threading
from typing import Any

PARSING = threading.RLock()
"""Held wherever `ast` parses: here, and around numpy's reading of a .npy header."""


def parse_literal(text: str) -> Any:
    """`ast.literal_eval`. Raises ValueError, SyntaxError, MemoryError or RecursionError for what is no literal."""
    with PARSING:
        return ast.literal_eval(text)
