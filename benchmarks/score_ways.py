"""The ways to score a pool that are compared, and the parts of ours, each run in a process of its own.

    python -m benchmarks.score_ways WAY WARM_UP POOL OUT MODEL WEIGHTS BATCH_SIZE

scores the shards in WARM_UP and then those in POOL, writes the cosines of the latter by key into OUT (a JSON file)
where the way has any, and prints the wall seconds and the CPU seconds of the process and its children that the latter
took, from the moment that the network is loaded.
"""

import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import open_clip
import torch
import webdataset as wds

from benchmarks.score_pool import SHARDS, captions_of
from datascaler import storage
from datascaler.data.images import decode_rgb
from datascaler.data.samples import Sample, read_samples
from datascaler.data.score_table import read_table
from datascaler.models.arch import register_configs
from datascaler.models.load import load_clip
from datascaler.models.loaded import LoadedClip
from datascaler.score.run import score
from datascaler.spec.score import ScoreSpec


def pipeline(pool: str, model: str, weights: str, batch_size: int) -> dict[str, float]:
    """`datascaler score`."""
    with tempfile.TemporaryDirectory() as out:
        spec = ScoreSpec(
            data_dir=pool,
            output_dir=out,
            method="clip",
            model=model,
            pretrained=weights,
            batch_size=batch_size,
            num_workers=max(4, len(os.sched_getaffinity(0))),
        )
        # It says what it is about to do once the network is there.
        summary = score(spec, lambda _: _restart_clock())
        tables = storage.list_files(summary.tables, ".parquet", recursive=True)
        rows = [row for table in tables for row in read_table(table.url, ["key", "score"])[0].to_pylist()]
    return {row["key"]: row["score"] for row in rows}


def plain(pool: str, model: str, weights: str, batch_size: int) -> dict[str, float]:
    """What a user of open_clip and webdataset writes."""
    register_configs()
    clip, preprocess = open_clip.create_model_from_pretrained(model, weights)
    tokenizer = open_clip.get_tokenizer(model)
    clip.eval()
    dataset = (
        wds.WebDataset(_tars(pool), shardshuffle=False, workersplitter=wds.split_by_worker, empty_check=False)
        .decode("pil")
        .to_tuple("__key__", "jpg", "txt")
        .map_tuple(lambda key: key, preprocess, lambda text: tokenizer([text])[0])
        .batched(batch_size)
    )
    loader = torch.utils.data.DataLoader(dataset, batch_size=None, num_workers=SHARDS)
    cosines: dict[str, float] = {}
    _restart_clock()
    with torch.inference_mode():
        for keys, images, texts in loader:
            image_features = torch.nn.functional.normalize(clip.encode_image(torch.stack(tuple(images))), dim=-1)
            text_features = torch.nn.functional.normalize(clip.encode_text(torch.stack(tuple(texts))), dim=-1)
            cosines |= zip(keys, (image_features * text_features).sum(dim=-1).tolist(), strict=True)
    return cosines


def forward(pool: str, model: str, weights: str, batch_size: int) -> dict[str, float]:
    """Nothing but our two towers, over pictures and tokens that are there already."""
    clip = load_clip(model, weights)
    rows = len(_samples(pool))
    side = open_clip.get_model_config(model)["vision_cfg"]["image_size"]
    images = torch.randint(0, 255, (batch_size, side, side, 3), dtype=torch.uint8)
    if clip.device.type == "cuda":
        images = images.pin_memory()
    tokens = clip.tokenize(captions_of(rows))
    _restart_clock()
    for start in range(0, rows, batch_size):
        part = tokens[start : start + batch_size]
        clip.embed_prepared(images[: len(part)])
        vectors = clip.embed_texts(part)
    vectors.cpu()  # waits for an accelerator
    return {}


def decode(pool: str, model: str, weights: str, batch_size: int) -> dict[str, float]:  # noqa: ARG001
    """Nothing but decoding, resizing and tokenizing, one sample after the other."""
    clip, samples = load_clip(model, weights), _samples(pool)
    _restart_clock()
    for sample in samples:
        _prepare(clip, sample)
    return {}


WAYS: dict[str, Callable[[str, str, str, int], dict[str, float]]] = {
    each.__name__: each for each in (pipeline, plain, forward, decode)
}


def _samples(pool: str) -> list[Sample]:
    samples: list[Sample] = []
    for tar in _tars(pool):
        with Path(tar).open("rb") as file:
            samples += read_samples(file)
    return samples


def _tars(pool: str) -> list[str]:
    return sorted(map(str, Path(pool).glob("*.tar")))


def _prepare(clip: LoadedClip, sample: Sample) -> None:
    clip.transform.prepare(decode_rgb(sample.image))
    clip.tokenize([sample.caption])


_began = [0.0, 0.0]


def _restart_clock() -> None:
    _began[:] = time.monotonic(), _cpu_seconds()


def _cpu_seconds() -> float:
    uses = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(use.ru_utime + use.ru_stime for use in uses)


def main() -> None:
    way, warm_up, pool, out, model, weights, batch_size = sys.argv[1:]
    WAYS[way](warm_up, model, weights, int(batch_size))
    cosines = WAYS[way](pool, model, weights, int(batch_size))
    used = {"seconds": time.monotonic() - _began[0], "cpu_seconds": _cpu_seconds() - _began[1]}
    if cosines:
        Path(out).write_text(json.dumps(cosines))
    sys.stdout.write(json.dumps(used))


if __name__ == "__main__":
    main()
