"""The commands of a shell block, as lists of words."""

import shlex
from collections.abc import Iterator

_SEPARATORS = {";", "|", "&&", "||"}


def commands_of(text: str) -> Iterator[list[str]]:
    """Every simple command: comments and redirections left out, continued lines joined, quotes taken off."""
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=";|&")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if word not in _SEPARATORS:
                words.append(word)
            elif words:
                yield words
                words = []
