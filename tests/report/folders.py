"""Folders as every verb leaves them, made without a model: a scored pool, subsets, runs, a sweep, results."""

import json
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

import numpy as np
import pyarrow as pa

from datascaler import storage
from datascaler.data.pool.parquet import encode_parquet
from datascaler.data.pool.samples import read_samples
from datascaler.data.pool.shard_list import frozen_shards
from datascaler.data.pool.shards import Shard
from datascaler.data.pool.write_tar import TarWriter
from datascaler.data.runs.run_folder import RunSummary, finish_run, run_url, start_run
from datascaler.data.runs.sweep_results import collect_sweep
from datascaler.data.select.select_subset import select_subset
from datascaler.data.tables.score_table import Footer, footer_of, table_url, write_table
from datascaler.evaluate.tasks import load_tasks, samples_url
from datascaler.spec.train import TrainSpec
from tests.evaluate.sets import picture
from tests.forecasting.runs import run_of

SCORE_ID = "clip-B32-00000000"
SHARDS, ROWS = 3, 20


def write_shards(url: str, captions: Sequence[str] = (), faces: Sequence[object] = ()) -> str:
    """A pool; the first samples have the given captions and face boxes. Its data-dir."""
    captions = [*captions, *(f"caption {number}" for number in range(len(captions), SHARDS * ROWS))]
    for shard in range(SHARDS):
        with storage.publish(storage.join(url, f"{shard:08d}.tar")) as file, TarWriter(file) as tar:
            for number in range(shard * ROWS, (shard + 1) * ROWS):
                record: dict[str, object] = {"uid": f"{number:032x}"}
                if number < len(faces):
                    record["face_bboxes"] = faces[number]
                members = {"jpg": picture(number, "jpg"), "txt": captions[number].encode("utf-8", "surrogatepass")}
                if number % 19 == 18:
                    members["jpg"] = b""
                tar.add_sample(f"{number:09d}", {**members, "json": json.dumps(record).encode()})
    return url


def score_shards(output_dir: str, pool: str, score_id: str = SCORE_ID) -> None:
    """Tables whose best rows are the pool's first."""
    for shard in frozen_shards(output_dir, pool):
        with storage.open_read(shard.url) as file:
            samples = list(read_samples(file, shard=shard.name))
        scores = [1 - int(each.uid_hex, 16) / 100 if each.status == "ok" else np.nan for each in samples]
        write_table(table_url(f"{output_dir}/scores/{score_id}", shard), _footer(shard, score_id), samples, scores)


def leave_scored_pool(folder: str, captions: Sequence[str] = (), faces: Sequence[object] = ()) -> str:
    """pool/ and scored/ with two subsets. The output folder."""
    pool, output_dir = write_shards(f"{folder}/pool", captions, faces), f"{folder}/scored"
    score_shards(output_dir, pool)
    for fraction in (0.3, 0.5):
        select_subset(output_dir, method="clip", fraction=fraction, formats=("npy",))
    return output_dir


def leave_results(url: str, quality: float, *, tasks: int = 38, samples: int = 0, seed: int = 0) -> dict[str, float]:
    """Results of as many tasks, by an accuracy about `quality`; with samples, where asked for. Scores by task."""
    rng = np.random.default_rng(seed)
    scored = [task for task in load_tasks() if task.main_metric][:tasks]
    scores, by_task, lines = {}, {}, []
    for task in scored:
        score = float(np.clip(quality + rng.normal(0, 0.08), 0.02, 0.98))
        metric = "acc1" if samples else task.main_metric or ""
        if samples:
            hits = np.arange(samples) < round(score * samples)
            score = float(hits.mean())
            columns = {"key": [str(each) for each in range(samples)], "rank": np.where(hits, 1, 7)}
            storage.publish_bytes(samples_url(url, task.key), encode_parquet(pa.table(columns)))
        scores[task.key] = score
        by_task[task.key] = {"metric": metric, "score": score, "interval": [score - 0.02, score + 0.02]}
        lines.append({"key": task.key, "dataset": task.name, "metrics": {metric: score, "main_metric": score}})
    average = fmean(scores.values())
    storage.publish_text(f"{url}/eval_results.jsonl", "".join(f"{json.dumps(line)}\n" for line in lines))
    summary = {
        "weights_hash": "0123456789abcdef",
        "average": average,
        "average_interval": [average - 0.01, average + 0.01],
        "scored": len(scores),
        "tasks": 38,
        "by_task": by_task,
        "failed": {},
        "missing": [],
    }
    storage.publish_json(f"{url}/eval_summary.json", summary)
    return scores


def leave_training_run(spec: TrainSpec, loss: float, *, rows: int = 40, done: bool = True) -> str:
    """A run whose loss falls to about `loss`. Its URL."""
    url = run_url(spec)
    start_run(spec, {"pool_digest": "0" * 16, "subset_digest": "1" * 16}, "datascaler train --data-dir s3://pool")
    rng = np.random.default_rng(spec.seed)
    seen = np.linspace(spec.train_num_samples / rows, spec.train_num_samples, rows).astype(int).tolist()
    lines = [
        {
            "step": at + 1,
            "samples_seen": each,
            "loss": round(loss + 3 * (1 - at / rows) ** 2 + float(rng.normal(0, 0.03)), 4),
            "lr": spec.lr,
            "samples_per_second": round(2000 + float(rng.normal(0, 60)), 1),
        }
        for at, each in enumerate(seen)
    ]
    storage.publish_text(f"{url}/metrics.jsonl", "".join(f"{json.dumps(line)}\n" for line in lines))
    if done:
        values = {"samples_seen": spec.train_num_samples, "steps": spec.steps, "substituted": 3}
        summary = RunSummary(run=url, checkpoint="none", train_loss=loss, seconds=5400.0, **values)
        finish_run(spec, summary)
    return url


def leave_everything(folder: str) -> str:
    """What a study of two filters leaves. The folder."""
    leave_scored_pool(folder)
    for name, quality in (("none-f1.0", 0.30), ("clip-f0.3", 0.36), ("clip-f0.5", 0.34)):
        for seed in (0, 1):
            spec = run_of(f"{folder}/runs", name, seed=seed)
            url = leave_training_run(spec, 5 - 3 * quality)
            leave_results(f"{url}/eval", quality, samples=400, seed=seed)
    leave_sweep(folder)
    leave_coord_check(folder)
    return folder


def leave_sweep(folder: str) -> str:
    """A ranking of five learning rates; its URL."""
    first = run_of(f"{folder}/sweep", "clip-f0.3")
    points = [replace(first, lr=lr, train_num_samples=1_280_000) for lr in (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)]
    for point, loss in zip(points, (4.1, 3.8, 3.6, 3.7, 4.4), strict=True):
        leave_training_run(point, loss)
    return collect_sweep(points).results


def _footer(shard: Shard, score_id: str) -> Footer:
    work = {"method": "clip", "model": "ViT-B-32", "weights_hash": "ab" * 8, "preprocess_hash": "cd" * 8}
    return footer_of(shard, score_id, **work)


def leave_coord_check(folder: str) -> str:
    """A check whose blocks stay level under muP, and grow with width under the standard parametrisation; its URL."""
    widths, steps, seeds = (2, 4, 8, 16), (0, 1, 2), (0, 1)
    named = (("block", "vision 1"), ("block", "text 1"), ("feature", "image"), ("attention", "vision 1"))
    rows: dict[str, list[dict[str, object]]] = {"standard": [], "muP": []}
    slopes: dict[str, list[dict[str, object]]] = {"standard": [], "muP": []}
    for title, growth in (("standard", 0.8), ("muP", 0.0)):
        for kind, name in named:
            for step in steps:
                own = {"kind": kind, "name": name, "step": step}
                slope = growth if step else 0.0
                slopes[title].append({**own, "slope": slope, "without_smallest": slope, "is_within": title == "muP"})
                rows[title] += [
                    {**own, "width_mult": width, "seed": seed, "size": (1 + 0.1 * seed) * width**slope}
                    for width in widths
                    for seed in seeds
                ]
    url = f"{folder}/coords/coord_check.json"
    record = {"spec": {"model_arch": "ViT-Micro-12-48"}, "verdict": "passed", "reasons": [], "growth_of_standard": 0.8}
    storage.publish_record(url, {**record, "slopes": slopes, "coordinates": rows})
    return url
