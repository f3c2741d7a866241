"""The ways to score a pool that are compared, and the parts of ours, each run in a process of its own.

    python -m benchmarks.score_ways WAY OUT MODEL WEIGHTS BATCH_SIZE

reads folders of shards from stdin, a line each, and scores each of them: writes the cosines by key, where the way has
any, into OUT (a JSON file), and prints a line with the wall seconds and the CPU seconds of the process and its children
that it took, from the moment that the network is loaded.
"""

import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import open_clip
import torch
import webdataset as wds
from PIL import Image
from torch import Tensor

from benchmarks.score_pool import SHARDS, captions_of
from datascaler import storage
from datascaler.data.pool.images import decode_rgb
from datascaler.data.pool.samples import Sample, read_samples
from datascaler.data.tables.score_table import read_table
from datascaler.models.arch import register_configs
from datascaler.models.freed_memory import keep_freed_memory_on_cpu
from datascaler.models.load import load_clip
from datascaler.models.tokenize import Tokenize
from datascaler.score.score_pool import score_pool
from datascaler.spec.score import ScoreSpec
from datascaler.tools.foreign_warnings import listening

Cosines = dict[str, float]
"""By key."""

Way = Callable[[str], Cosines]
"""Scores the shards in a folder."""


def pipeline(model: str, weights: str, batch_size: int) -> Way:
    """`datascaler score`."""

    def run(pool: str) -> Cosines:
        keep_freed_memory_on_cpu()
        with tempfile.TemporaryDirectory() as out:
            spec = ScoreSpec(
                data_dir=pool,
                output_dir=out,
                method="clip",
                model=model,
                pretrained=weights,
                batch_size=batch_size,
                num_workers=len(os.sched_getaffinity(0)),
            )
            # It says what it is about to do once the network is there.
            summary = score_pool(spec, lambda _: _restart_clock())
            _stop_clock()
            tables = storage.list_files(summary.tables, ".parquet", recursive=True)
            rows = [row for table in tables for row in read_table(table.url, ["key", "score"])[0].to_pylist()]
        return {row["key"]: row["score"] for row in rows}

    return run


def plain(model: str, weights: str, batch_size: int) -> Way:
    """What a user of open_clip and webdataset writes."""
    register_configs()
    clip, preprocess = open_clip.create_model_from_pretrained(model, weights)
    tokenizer = open_clip.get_tokenizer(model)
    clip.eval()

    def run(pool: str) -> Cosines:
        dataset = (
            wds.WebDataset(_tars(pool), shardshuffle=False, workersplitter=wds.split_by_worker, empty_check=False)
            .decode("pil")
            .to_tuple("__key__", "jpg", "txt")
            .map_tuple(lambda key: key, preprocess, lambda text: tokenizer([text])[0])
            .batched(batch_size)
        )
        loader = torch.utils.data.DataLoader(dataset, batch_size=None, num_workers=SHARDS)
        cosines: Cosines = {}
        with torch.inference_mode():
            for keys, images, texts in loader:
                image_features = torch.nn.functional.normalize(clip.encode_image(torch.stack(tuple(images))), dim=-1)
                text_features = torch.nn.functional.normalize(clip.encode_text(torch.stack(tuple(texts))), dim=-1)
                cosines |= zip(keys, (image_features * text_features).sum(dim=-1).tolist(), strict=True)
        return cosines

    return run


def forward(model: str, weights: str, batch_size: int) -> Way:
    """Nothing but our two towers, over pictures and tokens that are there already."""
    clip = load_clip(model, weights)
    side = open_clip.get_model_config(model)["vision_cfg"]["image_size"]
    images = torch.randint(0, 255, (batch_size, side, side, 3), dtype=torch.uint8)
    if clip.device.type == "cuda":
        images = images.pin_memory()

    def run(pool: str) -> Cosines:
        tokens = clip.tokenize(captions_of(len(_samples(pool))))
        _restart_clock()
        for start in range(0, len(tokens), batch_size):
            part = tokens[start : start + batch_size]
            clip.embed_prepared(images[: len(part)])
            vectors = clip.embed_texts(part)
        vectors.cpu()  # waits for an accelerator
        return {}

    return run


def decode(model: str, weights: str, batch_size: int) -> Way:  # noqa: ARG001
    """Nothing but decoding, resizing and tokenizing, one sample after the other in a process for each core."""
    clip, cores = load_clip(model, weights), len(os.sched_getaffinity(0))
    context = multiprocessing.get_context("spawn")
    processes = ProcessPoolExecutor(
        cores, context, initializer=_begin, initargs=(clip.transform.prepare, clip.tokenize)
    )

    def run(pool: str) -> Cosines:
        samples = _samples(pool)
        parts = [samples[core::cores] for core in range(cores)]
        _restart_clock()
        list(processes.map(_prepare, parts))
        return {}

    return run


_work: tuple[Callable[[Image.Image], Tensor], Tokenize]
"""Of a process that decodes."""


def _begin(*work: Any) -> None:
    global _work
    _work = work
    torch.set_num_threads(1)


def _prepare(samples: list[Sample]) -> None:
    prepare, tokenize = _work
    with listening():
        for sample in samples:
            prepare(decode_rgb(sample.image))
            tokenize([sample.caption])


WAYS: dict[str, Callable[[str, str, int], Way]] = {each.__name__: each for each in (pipeline, plain, forward, decode)}


def _samples(pool: str) -> list[Sample]:
    samples: list[Sample] = []
    for tar in _tars(pool):
        with Path(tar).open("rb") as file:
            samples += read_samples(file)
    return samples


def _tars(pool: str) -> list[str]:
    return sorted(map(str, Path(pool).glob("*.tar")))


_clock: dict[str, tuple[float, float]] = {}
"""Wall and CPU seconds when it was started and when it was stopped."""


def _restart_clock() -> None:
    _clock.clear()
    _clock["started"] = time.monotonic(), _cpu_seconds()


def _stop_clock() -> None:
    _clock.setdefault("stopped", (time.monotonic(), _cpu_seconds()))


def _cpu_seconds() -> float:
    """Of this process and of its children, those that have ended too."""
    mine = os.times()
    ended = mine.children_user + mine.children_system
    return mine.user + mine.system + ended + sum(_cpu_of(child.pid) for child in multiprocessing.active_children())


def _cpu_of(process: int | None) -> float:
    """Linux's /proc/PID/stat, whose fields 14 and 15 are user and system time."""
    user, system = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    name, out, model, weights, batch_size = sys.argv[1:]
    way = WAYS[name](model, weights, int(batch_size))
    for line in sys.stdin:
        _restart_clock()
        cosines = way(line.rstrip())
        _stop_clock()
        seconds, cpu_seconds = (
            stopped - started for started, stopped in zip(_clock["started"], _clock["stopped"], strict=True)
        )
        Path(out).write_text(json.dumps(cosines))
        sys.stdout.write(json.dumps({"seconds": seconds, "cpu_seconds": cpu_seconds}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
