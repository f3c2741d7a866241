"""The coordinate check as a user runs it: muP passes, its control has power, and a muP that is wrong fails."""

from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from datascaler import storage
from datascaler.cli.main import cli
from datascaler.models.optimizer import build_optimizer
from datascaler.spec.coord_check import CoordCheckSpec
from datascaler.train.coord_check import check_coordinates

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


def test_mup_passes_and_the_standard_parametrisation_exceeds_the_threshold(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["coord-check", "--output-dir", str(tmp_path)])
    assert done.exit_code == 0, done.output
    result = storage.read_record(str(tmp_path / "coord_check.json"))
    assert result["verdict"] == "passed"
    assert result["growth_of_standard"] > 0.5
    assert (tmp_path / "coord_check.png").read_bytes().startswith(b"\x89PNG")
    # 4 widths x 3 seeds x 6 looks x (3 blocks, 2 features, 2 attentions, a cosine; 2 directions from step 1 on).
    assert {len(rows) for rows in result["coordinates"].values()} == {4 * 3 * (6 * 8 + 5 * 2)}


def test_a_learning_rate_that_does_not_shrink_with_width_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_one_rate(*given: Any, **named: Any) -> torch.optim.AdamW:
        optimizer = build_optimizer(*given, **named)
        for group in optimizer.param_groups:
            group["lr"] = named["lr"]
        return optimizer

    monkeypatch.setattr("datascaler.train.coord_measure.build_optimizer", with_one_rate)
    result = check_coordinates(CoordCheckSpec(output_dir=str(tmp_path)))
    assert result.verdict == "failed"
    assert any("block" in reason for reason in result.reasons)
