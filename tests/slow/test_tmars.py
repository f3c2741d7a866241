"""T-MARS on pictures whose text is known, and on photographs that have none."""

import sys
from collections import defaultdict
from collections.abc import Hashable

import numpy as np
import pytest

from datascaler.score.tmars.boxes import covered_pixels
from datascaler.score.tmars.detector import load_text_detector
from tests.planted_text import PHOTOGRAPHS, photograph, planted_texts

PICTURES = 300
SMALL = 16
"""Pixels of the em; sizes begin at 12."""


@pytest.mark.slow
def test_masks_cover_planted_text(capsys: pytest.CaptureFixture[str]) -> None:
    """Covered glyph pixels over all glyph pixels, so large letters count for more."""
    detector = load_text_detector()
    glyphs: defaultdict[Hashable, int] = defaultdict(int)
    covered: defaultdict[Hashable, int] = defaultdict(int)
    for planted in planted_texts(PICTURES):
        masks = covered_pixels(detector.detect(planted.pixels), *planted.glyphs.shape)
        background = "photograph" if planted.photograph else "drawn"
        for group in ("all", planted.size <= SMALL, planted.size, (planted.size, background), planted.font):
            glyphs[group] += int(planted.glyphs.sum())
            covered[group] += int((planted.glyphs & masks).sum())
    share = {group: covered[group] / glyphs[group] for group in glyphs}
    lines = ["", "| size, px | all | drawn | photographs |", "|---:|---:|---:|---:|"]
    for size in sorted(group for group in share if isinstance(group, int) and group > 1):
        row = share[size], share[size, "drawn"], share[size, "photograph"]
        lines.append(f"| {size} | " + " | ".join(f"{part:.1%}" for part in row) + " |")
    lines.append(f"12 to {SMALL}: {share[True]:.1%}")
    lines += [f"{group}: {part:.1%}" for group, part in share.items() if isinstance(group, str)]
    with capsys.disabled():
        sys.stdout.write("\n".join(lines))
    assert share["all"] >= 0.90
    assert share[True] >= 0.75


@pytest.mark.slow
def test_photographs_lose_little(capsys: pytest.CaptureFixture[str]) -> None:
    detector = load_text_detector()
    lost = {}
    for name in PHOTOGRAPHS:
        pixels = np.asarray(photograph(name))
        lost[name] = float(covered_pixels(detector.detect(pixels), *pixels.shape[:2]).mean())
    with capsys.disabled():
        sys.stdout.write("\n" + ", ".join(f"{name} {part:.1%}" for name, part in lost.items() if part))
    assert np.mean(list(lost.values())) < 0.10
