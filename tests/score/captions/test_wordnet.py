"""The first synset of a word, from files in the format of WordNet's database."""

from pathlib import Path

import pytest

from datascaler.errors import ConfigError
from datascaler.score.captions.text_based import by_wordnet
from datascaler.score.captions.wordnet import WordNet, read_synsets, read_wordnet

LICENCE = "  1 This software and database is being provided to you, the LICENSEE, by  \n"
FILES = {
    # lemma, part of speech, senses, pointers and their signs, senses, tagged senses, offsets
    "index.noun": "box n 2 3 @ ~ + 2 1 02883344 13901858\ndog n 2 2 @ ~ 2 1 02084071 10114209\n"
    "man n 1 1 @ 1 1 10287213\nwolf n 1 0 1 1 02114100\nrun n 1 1 + 1 1 00190783\nglass n 1 0 1 0 03438257\n",
    "index.verb": "run v 2 1 @ 2 1 01926311 02075049\nbake v 1 0 1 0 00319886\ndog v 1 1 @ 1 0 02001858\n",
    "index.adj": "red a 1 1 = 1 1 00381097\n",
    "index.adv": "well r 1 1 ! 1 1 00011093\n",
    "noun.exc": "wolves wolf\ngeese goose\n",
    "verb.exc": "ran run\nrunning run\n",
    "adj.exc": "",
    "adv.exc": "better well\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> str:
    for name, content in FILES.items():
        (tmp_path / name).write_text(LICENCE + content if name.startswith("index") else content)
    return str(tmp_path)


@pytest.fixture
def wordnet(folder: str) -> WordNet:
    return read_wordnet(folder)[0]


@pytest.mark.parametrize(
    ("word", "offset"),
    [
        *(("dog", 2084071), ("dogs", 2084071), ("boxes", 2883344), ("men", 10287213), ("wolves", 2114100)),
        # The noun is first, if there is one; else the verb, the adjective, the adverb.
        *(("run", 190783), ("running", 1926311), ("ran", 1926311), ("baking", 319886), ("baked", 319886)),
        # "glasses" loses its s first and is no lemma then; "ses" -> "s" is.
        *(("glasses", 3438257), ("reddest", None), ("redest", 381097), ("better", 11093), ("geese", None)),
        # Endings are stripped again as long as nothing is found.
        *(("dogss", 2084071), ("photo", None), ("", None), ("dog,", None), ("Dog", None)),
    ],
)
def test_words_and_their_inflections(wordnet: WordNet, word: str, offset: int | None) -> None:
    assert wordnet.first_offset(word) == offset


def test_a_word_made_of_endings_takes_no_time(wordnet: WordNet) -> None:
    assert wordnet.first_offset("es" * 50) is None
    assert wordnet.first_offset("ses" * 400_000) is None


def test_the_rule_looks_up_lower_case(folder: str, tmp_path: Path) -> None:
    (tmp_path / "synsets.txt").write_text("n02084071\nn10287213\n")
    rule = by_wordnet(None, folder, f"{tmp_path}/synsets.txt")
    assert [rule.is_named(word) for word in ("dogs", "men", "wolves", "photo")] == [True, True, False, False]
    assert set(rule.settings) == {"language_model", "wordnet", "synsets"}


def test_files_that_are_something_else_are_named(folder: str, tmp_path: Path) -> None:
    (tmp_path / "synsets.txt").write_text("dog\n")
    with pytest.raises(ConfigError, match=r"synsets\.txt is not a list of WordNet synsets"):
        read_synsets(f"{tmp_path}/synsets.txt")
    (tmp_path / "index.noun").write_text("dog n 2\n")
    with pytest.raises(ConfigError, match=r"index\.noun is not an index of WordNet's database"):
        read_wordnet(folder)
