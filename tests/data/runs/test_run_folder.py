"""Which runs have an `info.pkl`: those whose checkpoint means the same to DataComp's own evaluate."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from datascaler.data.runs.run_folder import RunSummary, finish_run, finished, no_datacomp_info, run_url
from datascaler.spec.train import datacomp_recipe

HALF, ONE, TWO = Fraction(1, 2), Fraction(1), Fraction(2)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"min_width_mult": HALF}, None),
        ({"use_mup": True}, None),
        ({"width_mult": HALF}, "ViT-B-32 at width 1/2 is no model that open_clip has a name for"),
        ({"width_mult": HALF, "min_width_mult": HALF, "use_mup": True}, "ViT-B-32 at width 1/2"),
        ({"width_mult": TWO}, "ViT-B-32 at width 2"),
        (
            {"min_width_mult": HALF, "use_mup": True},
            "a muP ViT-B-32 of base width 1/2 gives other features in stock open_clip",
        ),
        ({"output_dir": "memory://runs"}, "DataComp's evaluate.py opens local paths only"),
    ],
)
def test_no_file_says_that_a_model_is_another_one(changes: dict[str, Any], reason: str | None, tmp_path: Path) -> None:
    spec = datacomp_recipe("small", **{"data_dir": "pool", "output_dir": str(tmp_path), **changes})
    found = no_datacomp_info(spec)
    assert found is None if reason is None else reason in str(found)
    if spec.output_dir != str(tmp_path):
        return
    summary = RunSummary(
        run=run_url(spec),
        checkpoint=f"{run_url(spec)}/checkpoints/step_00000001.pt",
        samples_seen=1,
        steps=1,
        substituted=0,
        train_loss=1.0,
        seconds=1.0,
    )
    finish_run(spec, summary)
    assert finished(run_url(spec)) == summary
    assert Path(run_url(spec), "info.pkl").exists() == (reason is None)
