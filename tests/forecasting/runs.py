"""Run folders as training and evaluation leave them, with results that a formula gives."""

import json
from collections.abc import Mapping

from datascaler import storage
from datascaler.data.runs.run_folder import RunSummary, finish_run, run_url, start_run
from datascaler.spec.train import TrainSpec, datacomp_recipe


def leave_run(spec: TrainSpec, scores: Mapping[str, float]) -> str:
    """A finished run with these main metrics, by task key. Returns its URL."""
    url = run_url(spec)
    start_run(spec, {"pool_digest": "p", "subset_digest": spec.method}, "datascaler train")
    records = [{"key": key, "dataset": key, "metrics": {"main_metric": value}} for key, value in scores.items()]
    storage.publish_text(
        storage.join(url, "eval", "eval_results.jsonl"), "".join(f"{json.dumps(r)}\n" for r in records)
    )
    summary = RunSummary(
        run=url, checkpoint="none", samples_seen=1, steps=1, substituted=0, train_loss=1.0, seconds=1.0
    )
    finish_run(spec, summary)
    return url


def run_of(output_dir: str, filter_name: str, scale: str = "small", **more: object) -> TrainSpec:
    """`clip-f0.3`: method and kept fraction."""
    method, _, fraction = filter_name.rpartition("-f")
    subset = None if method == "none" else f"{output_dir}/{method}.npy"
    fields = {"method": method, "fraction": fraction, "subset_file": subset, **more}
    return datacomp_recipe(scale, data_dir="s3://pool", output_dir=output_dir, **fields)


def leave_ladder(output_dir: str, quality: Mapping[str, float], seeds: int = 1) -> None:
    """Three budgets of ViT-B-32, whose ImageNet error falls as a power of the samples seen."""
    for name, amplitude in quality.items():
        for samples in (4_000_000, 8_000_000, 16_000_000):
            for seed in range(seeds):
                spec = run_of(output_dir, name, train_num_samples=samples, seed=seed)
                error = 0.2 + amplitude * (samples / 4e6) ** -0.3 + 0.001 * (seed % 2)
                leave_run(spec, {"imagenet1k": 1 - error})
