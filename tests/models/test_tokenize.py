"""Tokens are open_clip's, in bounded time and memory."""

import pickle
import random
import time

import open_clip
import pytest
import torch
from open_clip.tokenizer import SimpleTokenizer

from datascaler.models import tokenize as tokenize_module
from datascaler.models.long_words import all_symbols, certain_symbols
from datascaler.models.tokenize import BoundedTokenizer, tokenizer_for
from tests.limits import within

STOCK = SimpleTokenizer()
ALPHABETS = [
    "ab",
    "aeiourstln",
    "abcdefghijklmnopqrstuvwxyz",
    "日本語の写真東京",
    "😂😍🇺🇸",
    "!?.-=",
    "aaaaaaab",
    "éèüß",
]


def words(count: int, longest: int) -> list[str]:
    generator = random.Random(0)
    return [
        "".join(generator.choice(generator.choice(ALPHABETS)) for _ in range(generator.randint(1, longest)))
        if number % 2
        else "".join(generator.choices(ALPHABETS[number % len(ALPHABETS)], k=generator.randint(1, longest)))
        for number in range(count)
    ]


def test_tokens_are_those_of_open_clip() -> None:
    captions = [
        "",
        "  A photo,\nof 2 CATS'll &amp;lt; caf\u00c3\u00a9 ",
        "\u039f\u0394\u03a5\u03a3\u03a3\u0395\u03a5\u03a3",
        "<end_of_text> it's <start_of_text>",
        "x " * 200,
        *words(100, 400),
        " ".join(words(50, 30)),
    ]
    ours = pickle.loads(pickle.dumps(tokenizer_for("ViT-B-32")))
    assert isinstance(ours, BoundedTokenizer)
    assert torch.equal(ours(captions), open_clip.get_tokenizer("ViT-B-32")(captions))
    assert ours([]).shape == (0, 77)
    short = BoundedTokenizer(SimpleTokenizer(context_length=9, clean="canonicalize"))
    assert torch.equal(short(captions), SimpleTokenizer(context_length=9, clean="canonicalize")(captions))


@pytest.mark.parametrize("letters", [40, 90, 200])
def test_the_certain_beginning_of_a_word_is_its_beginning(letters: int) -> None:
    longest = max(map(len, STOCK.encoder))
    found = 0
    for word in words(60, 120):
        encoded = "".join(STOCK.byte_encoder[byte] for byte in (word * 9).encode())[: 2 * letters + longest]
        if len(encoded) <= letters + longest:
            continue
        certain = certain_symbols(encoded[: letters + longest], letters, STOCK.bpe_ranks, longest)
        assert STOCK.bpe(encoded).split(" ")[: len(certain)] == certain
        found += len(certain)
    assert found > 60 * letters / 10


def test_whole_words_by_arrays_are_those_of_the_loop() -> None:
    for word in [*words(200, 60), "a", "aaa", "aaaa" * 5, "ab" * 40, "banana" * 20, "😂" * 33]:
        encoded = "".join(STOCK.byte_encoder[byte] for byte in word.encode())
        assert all_symbols(encoded, STOCK.bpe_ranks) == STOCK.bpe(encoded).split(" ")


@pytest.mark.parametrize("unit", ["a", "ab", "日本語の写真", "😂", "x y ", "a\n", "&amp;", "-", "e\u0301", "7"])
def test_a_caption_of_a_megabyte_takes_no_time(unit: str) -> None:
    caption = unit * (1_000_000 // len(unit.encode()))
    ours = tokenizer_for("ViT-B-32")
    ours(["warm"])
    started = time.process_time()
    tokens = ours([caption])
    assert time.process_time() - started < 2
    # Few thousand letters fill the context; whether the end of so long a word looks elsewhere was tested above.
    assert torch.equal(tokens, STOCK([unit * (3000 // len(unit.encode()))]))


def test_memory_of_words_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenize_module, "_CACHED_WORDS", 50)
    stock = SimpleTokenizer()
    ours = BoundedTokenizer(stock)
    captions = words(300, 20)
    assert torch.equal(ours(captions), STOCK(captions))
    assert len(stock.cache) == 50


NESTED = ["&amp;" + "amp;" * 16_000, "&" + "#38;" * 16_000, "&" + "AMP;" * 16_000 + "lt;", "&amp;#38;" * 7000]


@pytest.mark.parametrize("caption", [*NESTED, NESTED[0] * 15, "&#" + "1" * 5000, "&#x" + "f" * 100_000], ids=range(7))
def test_a_caption_whose_cleaning_is_quadratic_is_cut_and_counted(caption: str) -> None:
    ours = tokenizer_for("ViT-B-32")
    ours(["warm"])
    before = tokenize_module.cut_captions()
    with within():
        tokens = ours([caption])
    assert torch.equal(tokens, ours([caption[: tokenize_module.LONGEST_CLEANED]]))
    assert tokenize_module.cut_captions() == before + 1


def long_caption(generator: random.Random) -> str:
    """Words, with what cleaning changes in them, more of it towards the end."""
    odd = [
        "&amp;",
        "&lt;b&gt;",
        "<br>",
        "caf\u00c3\u00a9",
        "&Atilde;&copy;",
        "\u201cx\u201d",
        "e\u0301",
        "\n",
        "\r\n",
        "\x1b[31m",
    ]
    plain = [*["a", "photo", "of", "two", "cats", "don't", "7", "!?", "<end_of_text>", "A-B"], "\t", "\n"]
    rare = generator.choice([0.0, 0.002, 0.02, 0.2])
    words = [
        generator.choice(odd if generator.random() < rare else plain) for _ in range(generator.randint(1200, 2500))
    ]
    return " ".join([*words, *generator.choices(odd, k=3)])


@pytest.mark.parametrize("clean", ["lower", "canonicalize", "whitespace"])
def test_tokens_of_long_captions_are_those_of_open_clip_or_are_counted(clean: str) -> None:
    stock = SimpleTokenizer(clean=clean)
    ours = BoundedTokenizer(SimpleTokenizer(clean=clean))
    generator = random.Random(0)
    certain = 0
    for _ in range(9):
        caption = long_caption(generator)
        before = tokenize_module.cut_captions()
        tokens = ours([caption])
        if tokenize_module.cut_captions() == before:
            certain += 1
            assert torch.equal(tokens, stock([caption]))
    assert certain > 2


def test_cut_captions_are_told_now_and_then(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenize_module._Cut, "count", 0)
    for _ in range(25):
        tokenize_module.cut_to_clean("&" * 5000)
    assert [record.args[0] for record in caplog.records if isinstance(record.args, tuple)] == [1, 10]
