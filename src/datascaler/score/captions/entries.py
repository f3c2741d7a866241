"""Which of very many entries stand in a caption, as MetaCLIP looks for them: ` entry ` within ` caption `.

An entry between spaces stands in a caption between spaces exactly where its words are words of the caption in a row,
words being what single spaces separate. So the runs of words of a caption are looked up in a dict: for 500,000 entries
that takes some microseconds a caption, and no search automaton.
"""

import json
from dataclasses import dataclass

from datascaler.data.pool.text_file import read_text_file, split_lines
from datascaler.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Entries:
    """Distinct entries, numbered in the order of their file."""

    numbers: dict[str, int]
    lengths: dict[str, tuple[int, ...]]
    """First word -> how many words the entries that begin with it have."""
    digest: str
    """A hash of the file."""

    def found_in(self, caption: str) -> list[int]:
        """The numbers of the entries that stand in the caption, each once."""
        words = caption.split(" ")
        found: dict[int, None] = {}
        for first, word in enumerate(words):
            for length in self.lengths.get(word, ()):
                # A run that is cut off at the caption's end is a shorter one, which is looked up anyway.
                number = self.numbers.get(word if length == 1 else " ".join(words[first : first + length]))
                if number is not None:
                    found[number] = None
        return list(found)


def read_entries(url: str) -> Entries:
    """One entry a line, or a JSON list of strings. Raises ConfigError for anything else, and where there is none."""
    text, digest = read_text_file(url)
    if text.lstrip().startswith("["):
        try:
            listed = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{url} begins as JSON but is none ({error})") from error
        if not all(isinstance(entry, str) for entry in listed):
            raise ConfigError(f"{url} must be a JSON list of strings, or one entry a line")
    else:
        listed = split_lines(text)
    distinct = dict.fromkeys(entry for entry in listed if entry.strip())
    if not distinct:
        raise ConfigError(f"{url} has no entries: MetaCLIP's metadata is needed, one entry a line or a JSON list")
    lengths: dict[str, set[int]] = {}
    for entry in distinct:
        words = entry.split(" ")
        lengths.setdefault(words[0], set()).add(len(words))
    by_word = {word: tuple(sorted(found)) for word, found in lengths.items()}
    return Entries({entry: number for number, entry in enumerate(distinct)}, by_word, digest)
