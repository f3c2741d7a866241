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
