"""T-MARS does what it is for: pairs that look right only to a network that reads fall behind pairs that show something.

Through the commands that a user types, on a pool of which half of the pairs are nothing but their captions.
"""

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from numpy.typing import NDArray

from datascaler import storage
from datascaler.cli.main import cli
from datascaler.data.make.write_pool import write_pool
from datascaler.data.pool.pool_rows import PoolSample
from datascaler.data.tables.score_table import read_table
from tests.reading_network import ARCH, Pair, draw_pairs, train_reader

_PAIRS, _SEED = 400, 1
"""The network was trained on pairs of another seed."""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_text_only_pairs_lead_by_clip_and_fall_behind_by_tmars(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = list(draw_pairs(_PAIRS, _SEED))
    text_only = np.array([pair.text_only for pair in pairs])
    pool, weights = f"{tmp_path}/pool", f"{tmp_path}/reader.pt"
    write_pool(pool, map(_sample, pairs, range(_PAIRS)), samples_per_shard=_PAIRS // 2)
    torch.save(train_reader().state_dict(), weights)

    above, lines = {}, []
    for method in ("clip", "tmars"):
        scores = _scores(method, pool, weights, f"{tmp_path}/scores")
        median = float(np.median(scores[~text_only]))
        above[method] = float((scores[text_only] > median).mean())
        text_only_median = float(np.median(scores[text_only]))
        lines.append(
            f"{method}: {above[method]:.1%} of text-only pairs score above the median of clean pairs; "
            f"medians {text_only_median:.3f} and {median:.3f}"
        )
    with capsys.disabled():
        sys.stdout.write("\n" + "\n".join(lines) + "\n")
    assert above["clip"] >= 0.90
    assert above["tmars"] <= 0.10


def _sample(pair: Pair, number: int) -> PoolSample:
    buffer = io.BytesIO()
    pair.picture.save(buffer, "PNG")
    return PoolSample(image=buffer.getvalue(), suffix="png", caption=pair.caption, url=f"pair {number}")


def _scores(method: str, pool: str, weights: str, output_dir: str) -> NDArray[np.float32]:
    """Of all pairs, in their order."""
    arguments = ["--data-dir", pool, "--output-dir", output_dir, "--method", method]
    arguments += ["--model", ARCH, "--pretrained", weights]
    result = CliRunner().invoke(cli, ["score", *arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert (summary["ok"], summary["bad"]) == (_PAIRS, {})
    tables = sorted(info.url for info in storage.list_files(summary["tables"], ".parquet", recursive=True))
    return np.concatenate([read_table(url, ["score"])[0]["score"].to_numpy() for url in tables])
