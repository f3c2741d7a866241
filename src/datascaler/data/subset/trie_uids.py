"""What the child process does that reads a trie. It imports nothing else of the project, so that it starts at once."""

import re
from typing import IO

from datascaler.errors import ConfigError
from datascaler.safe_text import shown

_UID = re.compile("[0-9a-fA-F]{32}")


def write_trie_uids(path: str, output: IO[bytes]) -> None:
    """Write the keys of a trie, 16 bytes each. Raises ConfigError where one is no uid, or the file is no trie."""
    import marisa_trie

    trie = marisa_trie.Trie()
    try:
        trie.load(path)
        expected = len(trie)
        for number, key in enumerate(trie.iterkeys(), start=1):
            if not _UID.fullmatch(key):
                raise ConfigError(f"not a uid of 32 hex digits: {shown(key)}")
            if number > expected:
                raise ConfigError("not a readable marisa trie (it has more keys than it says)")
            output.write(bytes.fromhex(key))
    except (RuntimeError, ValueError) as error:
        raise ConfigError(f"not a readable marisa trie ({error})") from error
