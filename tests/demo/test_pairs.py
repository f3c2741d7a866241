"""The demo's pool is what it says: the same each time, wrong by exactly the stated shares and in the stated ways."""

import io
from collections import Counter
from itertools import islice

import numpy as np
import pytest
from PIL import Image

from datascaler.demo.captions import TEMPLATES, caption_of, junk_caption
from datascaler.demo.draw import CLASS_NAMES, CLASSES, COLOURS, SIDE, draw_image, random_attributes
from datascaler.demo.pairs import SHARES, DrawnPair, PairKind, draw_clean, draw_evalset, draw_pool, kind_counts
from datascaler.demo.shapes import SHAPES


@pytest.fixture(scope="module")
def pool() -> list[DrawnPair]:
    return list(draw_pool(300, seed=3))


def _decode(image_bytes: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(image_bytes))
    picture.load()
    return picture


def test_the_same_seed_draws_the_same_bytes(pool: list[DrawnPair]) -> None:
    assert list(draw_pool(300, seed=3)) == pool
    assert [pair.kind for pair in draw_pool(300, seed=4)] != [pair.kind for pair in pool]


def test_a_longer_clean_set_starts_with_the_shorter_one() -> None:
    assert list(draw_clean(5, seed=1)) == list(islice(draw_clean(50, seed=1), 5))


def test_no_two_sets_share_a_picture(pool: list[DrawnPair]) -> None:
    pictures = [pair.image_bytes for pair in pool if pair.kind != PairKind.BROKEN]
    pictures += [pair.image_bytes for pair in draw_clean(100, seed=3)]
    pictures += [image for image, _ in draw_evalset(2, seed=3)]
    assert len(set(pictures)) == len(pictures)


def test_shares_are_exact(pool: list[DrawnPair]) -> None:
    assert sum(SHARES.values()) == 100
    assert Counter(pair.kind for pair in pool) == {kind: 3 * share for kind, share in SHARES.items()}
    assert kind_counts(300)[PairKind.CLEAN] == 120


@pytest.mark.parametrize("n", [1, 7, 33, 99, 1001])
def test_rounding_keeps_the_total_and_stays_within_one(n: int) -> None:
    counts = kind_counts(n)
    assert sum(counts.values()) == n
    assert all(abs(count - n * SHARES[kind] / 100) < 1 for kind, count in counts.items())


def test_kinds_are_mixed_through_the_pool(pool: list[DrawnPair]) -> None:
    for start in range(0, 300, 100):
        assert 20 < sum(pair.kind == PairKind.CLEAN for pair in pool[start : start + 100]) < 60


def test_pictures_are_small_rgb_jpegs(pool: list[DrawnPair]) -> None:
    for pair in pool:
        if pair.kind != PairKind.BROKEN:
            picture = _decode(pair.image_bytes)
            assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", (SIDE, SIDE))


def test_broken_files_do_not_decode() -> None:
    broken = [pair for pair in draw_pool(400, seed=0) if pair.kind == PairKind.BROKEN]
    assert {bool(pair.image_bytes) for pair in broken} == {True, False}
    assert any(pair.image_bytes.startswith(b"\xff\xd8") for pair in broken)
    for pair in broken:
        with pytest.raises(OSError, match=r"(?i)truncated|cannot identify|cannot load"):
            _decode(pair.image_bytes)


def test_captions_are_right_or_wrong_as_the_kind_says(pool: list[DrawnPair]) -> None:
    names = set(COLOURS) | set(SHAPES)
    for pair in pool:
        shape, colour = CLASSES[pair.label]
        words = set(pair.caption.replace(",", "").split())
        if pair.kind in (PairKind.CLEAN, PairKind.BROKEN):
            assert words & names == {shape, colour}
        elif pair.kind == PairKind.JUNK:
            assert not words & names
        else:
            assert len(words & names) == 2
            assert words & names != {shape, colour}


def test_lettering_changes_the_picture() -> None:
    """A picture that carries its caption has far more edges than one that does not."""

    def edges(pair: DrawnPair) -> float:
        pixels = np.asarray(_decode(pair.image_bytes).convert("L"), dtype=float)
        return float(np.abs(np.diff(pixels)).mean())

    pairs = list(draw_pool(150, seed=5))
    mean = {
        kind: np.mean([edges(pair) for pair in pairs if pair.kind == kind])
        for kind in (PairKind.CLEAN, PairKind.RENDERED)
    }
    assert mean[PairKind.RENDERED] > 1.5 * mean[PairKind.CLEAN]


def test_the_eval_set_is_balanced() -> None:
    labels = [label for _, label in draw_evalset(3, seed=0)]
    assert Counter(labels) == dict.fromkeys(range(len(CLASS_NAMES)), 3)


def test_classes_are_named_by_colour_and_shape() -> None:
    assert len(CLASS_NAMES) == len(set(CLASS_NAMES)) == 48
    assert CLASS_NAMES[0] == "red circle"
    assert all("{c}" in template for template in TEMPLATES)


@pytest.mark.parametrize("label", range(48))
def test_the_named_colour_is_the_strongest_in_the_picture(label: int) -> None:
    rng = np.random.default_rng(label)
    attributes = random_attributes(label, rng)
    pixels = np.asarray(draw_image(attributes, rng), dtype=float).reshape(-1, 3)
    strongest = pixels[np.argsort(np.ptp(pixels, axis=1))[-20:]].mean(axis=0)
    distance = {name: float(np.abs(strongest - np.array(value)).sum()) for name, value in COLOURS.items()}
    assert min(distance, key=lambda name: distance[name]) == attributes.colour


def test_captions_vary() -> None:
    rng = np.random.default_rng(0)
    attributes = random_attributes(7, rng)
    assert len({caption_of(attributes, rng) for _ in range(200)}) > 10
    assert len({junk_caption(rng) for _ in range(200)}) > 150
    assert caption_of(random_attributes(1, rng), rng)


def test_captions_use_the_right_article() -> None:
    rng = np.random.default_rng(0)
    captions = {caption_of(random_attributes(label, rng), rng) for label in range(48) for _ in range(50)}
    assert any(" an orange " in f" {caption} " for caption in captions)
    assert not any(" a orange " in f" {caption} " for caption in captions)
