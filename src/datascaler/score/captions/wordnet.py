"""WordNet's database files (wndb(5WN)): the first synset of a word, whatever its inflection.

That is what `wordnet.synsets(word)[0]` of nltk says, by which DataComp's text-based filter is defined: parts of speech
in the order noun, verb, adjective, adverb, and the word's base forms by WordNet's rules (morphy(7WN)). Endings are
stripped until a lemma is found, as in the nltk of DataComp's time; newer ones (3.10) strip once.
"""

from dataclasses import dataclass
from hashlib import sha256

from datascaler import storage
from datascaler.data.pool.text_file import decode_text, read_list, split_lines
from datascaler.errors import ConfigError

_PARTS = ("noun", "verb", "adj", "adv")
_ENDINGS: dict[str, tuple[tuple[str, str], ...]] = {
    "noun": (
        *(("s", ""), ("ses", "s"), ("ves", "f"), ("xes", "x"), ("zes", "z"), ("ches", "ch"), ("shes", "sh")),
        *(("men", "man"), ("ies", "y")),
    ),
    "verb": (*(("s", ""), ("ies", "y"), ("es", "e"), ("es", ""), ("ed", "e"), ("ed", ""), ("ing", "e"), ("ing", "")),),
    "adj": (("er", ""), ("est", ""), ("er", "e"), ("est", "e")),
    "adv": (),
}
"""Endings and what stands in their place in the base form, in the order in which they are tried."""


_LONGEST = 100
"""Letters of a word; WordNet's longest lemma has 71."""


@dataclass(frozen=True, slots=True)
class WordNet:
    """The lemmas of each part of speech with the offset of their first synset, and the irregular forms."""

    first_synsets: dict[str, dict[str, int]]
    exceptions: dict[str, dict[str, list[str]]]

    def first_offset(self, word: str) -> int | None:
        """The offset of the first synset of a word in lower case; None where WordNet does not know it."""
        if len(word) > _LONGEST:
            return None
        for part in _PARTS:
            lemma = self._base_form(word, part)
            if lemma is not None:
                return self.first_synsets[part][lemma]
        return None

    def _base_form(self, word: str, part: str) -> str | None:
        lemmas = self.first_synsets[part]
        irregular = self.exceptions[part].get(word)
        if irregular is not None:
            return next((form for form in (word, *irregular) if form in lemmas), None)
        forms, candidates = [word], [word]
        while forms:
            shorter = (form[: -len(old)] + new for form in forms for old, new in _ENDINGS[part] if form.endswith(old))
            # Each once: what can be stripped in several ways would otherwise double at every step.
            forms = list(dict.fromkeys(shorter))
            found = next((form for form in (*candidates, *forms) if form in lemmas), None)
            if found is not None:
                return found
            candidates = []
        return None


def read_wordnet(folder: str) -> tuple[WordNet, str]:
    """WordNet's `dict` folder, and 16 hex digits of its files' hash. Raises ConfigError for files that are not its."""
    digest = sha256()
    indexes, exceptions = {}, {}
    for part in _PARTS:
        url = storage.join(folder, f"index.{part}")
        content = storage.read_bytes(url)
        digest.update(content)
        indexes[part] = _first_synsets(content, url)
        url = storage.join(folder, f"{part}.exc")
        content = storage.read_bytes(url)
        digest.update(content)
        lines = (line.split() for line in split_lines(decode_text(content, url)))
        exceptions[part] = {words[0]: words[1:] for words in lines if words}
    return WordNet(indexes, exceptions), digest.hexdigest()[:16]


def read_synsets(url: str) -> tuple[frozenset[int], str]:
    """Offsets of synsets, one a line as n02084071 or 2084071, and the file's hash.

    The part of speech is not looked at, as in DataComp's rule, whose list is of nouns.
    """
    lines, digest = read_list(url)
    try:
        return frozenset(int(line.removeprefix("n")) for line in lines), digest
    except ValueError as error:
        raise ConfigError(f"{url} is not a list of WordNet synsets, one a line as n02084071 ({error})") from error


def _first_synsets(content: bytes, url: str) -> dict[str, int]:
    """Lines of `lemma pos senses pointers [pointer...] senses tagged offset [offset...]`; the licence is indented."""
    found = {}
    try:
        for line in split_lines(decode_text(content, url)):
            if line and not line.startswith(" "):
                fields = line.split()
                found[fields[0]] = int(fields[6 + int(fields[3])])
    except (ValueError, IndexError) as error:
        raise ConfigError(f"{url} is not an index of WordNet's database ({error})") from error
    return found
