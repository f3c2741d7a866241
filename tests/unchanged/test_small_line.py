"""Refactoring changes no result: a small run of the whole line is compared with the one of an earlier commit."""

import json
from pathlib import Path

import pytest

from tests.unchanged.small_line import RECORDED, run_line

LOSSES, WEIGHTS = 1e-4, 3e-3
"""Relative tolerances: sums in float32 come out differently on other processors, and AdamW divides small gradients by
their own size, rounding included. Another batch moves both by several percent."""


def test_the_whole_line_computes_what_it_did_at_d95420f(tmp_path: Path) -> None:
    before, now = json.loads(RECORDED.read_text()), run_line(tmp_path)
    for name in ("tars", "subset", "plan"):
        assert now[name] == before[name], name
    assert [table["columns"] for table in now["tables"]] == [table["columns"] for table in before["tables"]]
    for table, recorded in zip(now["tables"], before["tables"], strict=True):
        assert table["scores"] == pytest.approx(recorded["scores"], abs=1e-5)
    for model, recorded in zip(now["models"], before["models"], strict=True):
        assert model["folder"] == recorded["folder"]
        assert model["losses"] == pytest.approx(recorded["losses"], rel=LOSSES)
        assert model["weights"].keys() == recorded["weights"].keys()
        for name, (shape, *projections) in model["weights"].items():
            assert shape == recorded["weights"][name][0], name
            size = max(map(abs, recorded["weights"][name][1:]))
            assert projections == pytest.approx(recorded["weights"][name][1:], abs=WEIGHTS * size), name
