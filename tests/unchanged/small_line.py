"""The whole line on 64 drawn samples, by the command line, and what came of it as plain values.

`python -m tests.unchanged.small_line` writes them to `at_d95420f.json`. That was done once, at commit d95420f, with the
imports of that time. It is not done again when results change: then they are wrong, or the change is meant and its
commit says so.
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch

from datascaler.cli.main import cli
from datascaler.data.plan.plan import Plan
from datascaler.data.plan.plan_file import open_plan
from datascaler.data.subset.subset import read_subset
from tests.tiny_clip import save_local_dir
from tests.train.runs import make_pool

RECORDED = Path(__file__).parent / "at_d95420f.json"
TRAINING = (
    *("--scale", "debug", "--model-arch", "ViT-Mini-8-48", "--width-mult", "0.25", "--batch-size", "12"),
    *("--train-num-samples", "96", "--lr", "1e-3", "--warmup", "2", "--num-workers", "0", "--log-every-steps", "1"),
)


def run_line(folder: Path) -> dict[str, Any]:
    """Pool, tables, subset, plan and two trained models (standard and muP), made in an empty folder."""
    pool, scored, runs = (str(folder / name) for name in ("pool", "scored", "runs"))
    make_pool(pool)
    model = save_local_dir(str(folder / "model"))
    _datascaler("score", "--data-dir", pool, "--output-dir", scored, "--method", "clip", "--model", model)
    _datascaler("subset", "--output-dir", scored, "--method", "clip", "--fraction", "0.4")
    (subset,) = Path(scored).glob("subsets/*.npy")
    (plan,) = Path(scored).glob("subsets/*.plan")
    given = ("--data-dir", pool, "--output-dir", runs, "--subset-file", str(subset), *TRAINING)
    _datascaler("train", *given, "--min-width-mult", "0.25")
    _datascaler("train", *given, "--use-mup", "--min-width-mult", "0.125")
    return {
        "tars": {path.name: sha256(path.read_bytes()).hexdigest() for path in _found(pool, "**/*.tar")},
        "tables": [_table(path) for path in _found(scored, "scores/**/*.parquet")],
        "subset": [f"{high:016x}{low:016x}" for high, low in read_subset(str(subset)).tolist()],
        "plan": _plan(open_plan(str(plan))),
        "models": [_model(path.parent.parent) for path in _found(runs, "**/checkpoints/latest.json")],
    }


def _datascaler(*words: str) -> None:
    cli.main(list(words), prog_name="datascaler", standalone_mode=False)


def _found(folder: str, pattern: str) -> Iterator[Path]:
    return iter(sorted(Path(folder).glob(pattern)))


def _table(path: Path) -> dict[str, Any]:
    table = pq.read_table(path)
    columns = {name: table[name].to_pylist() for name in table.column_names if name != "score"}
    return {"columns": columns, "scores": table["score"].to_pylist()}


def _plan(plan: Plan) -> dict[str, Any]:
    rows = plan.arrays["shard_rows"].tolist()
    blocks = [plan.block(number) for number in range(len(plan.arrays["block_kept"]))]
    return {
        "shards": [shard.name for shard in plan.shards],
        "kept_rows": [plan.kept_rows(shard, 0, count).tolist() for shard, count in enumerate(rows)],
        "blocks": [[block.shard, block.start, block.end, block.first_row, block.end_row] for block in blocks],
        "kept_in_block": plan.arrays["block_kept"].tolist(),
    }


def _model(run: Path) -> dict[str, Any]:
    """The newest checkpoint: of every tensor its shape, and its projections onto three fixed vectors."""
    (newest,) = sorted(run.glob("checkpoints/step_*.pt"))[-1:]
    saved = torch.load(newest, weights_only=True)
    weights = {name: _learnt(name, each) for name, each in sorted(saved["state_dict"].items())}
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return {
        "folder": "/".join(run.parts[-4:]),
        "losses": [json.loads(line)["loss"] for line in lines],
        "weights": {name: [list(each.shape), *_projections(each)] for name, each in weights.items()},
    }


def _learnt(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """The tensor without the keys' bias, which moves every logit of a softmax alike: its gradient is rounding alone."""
    if not name.endswith("in_proj_bias"):
        return tensor
    query, _, value = tensor.chunk(3)
    return torch.cat([query, value])


def _projections(tensor: torch.Tensor) -> list[float]:
    """Three numbers that change with any element, each of the size of the tensor's norm."""
    flat = tensor.double().flatten().numpy()
    return [float(np.random.default_rng(seed).standard_normal(len(flat)) @ flat) for seed in range(3)]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        RECORDED.write_text(json.dumps(run_line(Path(made))) + "\n")
    sys.stderr.write(f"{RECORDED}\n")
