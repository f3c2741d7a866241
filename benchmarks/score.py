"""The scoring pipeline against its own forward, against its parts, and against a plain open_clip + webdataset loop.

Two networks with random weights: ViT-B-32 (224 px, 151 M parameters), where the forward is nearly everything, and
ViT-Mini-8-48 (48 px, 5 M), where decoding is. The pool is two shards of JPEGs whose longer side is 512, in a local
folder. Every way runs in a process of its own, over a short pool and a long one: what counts is the difference, so
neither imports nor loading nor filling the pipeline. Ways take turns, and each way's best turn counts. The last line is
one JSON object; a missed limit ends with exit code 1.

    python -m benchmarks.score [--turns 2] [--folder DIR]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import open_clip
import torch

from benchmarks.score_pool import write_pool
from benchmarks.verdict import verdict
from datascaler.data.images import decode_pixels
from datascaler.data.mask_text import mask_text
from datascaler.data.samples import read_samples
from datascaler.models.arch import register_configs
from datascaler.models.detection_model import load_detector

AT_LEAST = {
    "pipeline_vs_forward_b32": 0.90,
    "cpu_efficiency_small": 0.85,
    "vs_plain_loop_b32": 1.30,
    "vs_plain_loop_small": 1.2,
}
AT_MOST = {"max_difference": 1e-5}


@dataclass(frozen=True)
class Network:
    arch: str
    rows: tuple[int, int]
    """Of the short pool and of the long one."""
    batch_size: int


B32 = Network("ViT-B-32", (128, 384), 64)
SMALL = Network("ViT-Mini-8-48", (512, 2560), 256)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=2, help="Times that each way is run. [2]")
    parser.add_argument("--folder", help="Where 1 GB of scratch may go. [the system's]")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-score-", dir=arguments.folder) as scratch:
        b32 = _compare(Path(scratch), B32, ("pipeline", "plain", "forward"), arguments.turns)
        small = _compare(Path(scratch), SMALL, ("pipeline", "plain", "forward", "decode"), arguments.turns)
        stages = text_masking_stages(Path(scratch, B32.arch, "long", "00000000.tar"))
    alone = small["decode_cpu_ms"] + small["forward_cpu_ms"]
    result = {
        "pipeline_vs_forward_b32": round(b32["forward_ms"] / b32["pipeline_ms"], 3),
        "cpu_efficiency_small": round(alone / small["pipeline_cpu_ms"], 3),
        "vs_plain_loop_b32": round(b32["plain_ms"] / b32["pipeline_ms"], 2),
        "vs_plain_loop_small": round(small["plain_ms"] / small["pipeline_ms"], 2),
        "max_difference": max(b32.pop("max_difference"), small.pop("max_difference")),
        **{f"b32_{name}": round(value, 2) for name, value in b32.items()},
        **{f"small_{name}": round(value, 3) for name, value in small.items()},
        **stages,
        "cores": len(os.sched_getaffinity(0)),
    }
    return verdict(result, at_least=AT_LEAST, at_most=AT_MOST)


def text_masking_stages(tar: Path, pictures: int = 48) -> dict[str, float]:
    """What T-MARS adds to a sample, in ms of one core: finding text, painting over it."""
    detector = load_detector()
    with tar.open("rb") as file:
        samples = [sample for sample, _ in zip(read_samples(file), range(pictures), strict=False)]
    decoded = [decode_pixels(sample.image) for sample in samples]
    detector.detect(decoded[0])
    began = time.process_time()
    boxes = [detector.detect(pixels) for pixels in decoded]
    detected = time.process_time()
    for pixels, found in zip(decoded, boxes, strict=True):
        mask_text(pixels, found, 1.0)
    masked = time.process_time()
    return {
        "tmars_detect_ms": round((detected - began) * 1000 / pictures, 1),
        "tmars_mask_ms": round((masked - detected) * 1000 / pictures, 2),
    }


def _compare(folder: Path, network: Network, ways: Sequence[str], turns: int) -> dict[str, float]:
    """Wall and CPU milliseconds a sample of each way, and how far the plain loop's cosines are from ours."""
    home = folder / network.arch
    pools = [home / "short", home / "long"]
    for pool, rows in zip(pools, network.rows, strict=True):
        write_pool(pool, rows)
    weights = home / "weights.pt"
    _write_random_weights(network.arch, weights)
    best: dict[str, float] = {}
    for _ in range(turns):
        for way in ways:
            arguments = [network.arch, str(weights), str(network.batch_size)]
            short, long = (_run(way, pool, home / f"{way}.json", arguments) for pool in pools)
            for field, name in (("seconds", "ms"), ("cpu_seconds", "cpu_ms")):
                cost = (long[field] - short[field]) * 1000 / (network.rows[1] - network.rows[0])
                best[f"{way}_{name}"] = min(best.get(f"{way}_{name}", cost), cost)
    ours, plain = (json.loads((home / f"{way}.json").read_text()) for way in ("pipeline", "plain"))
    if ours.keys() != plain.keys():
        raise AssertionError(f"{len(ours)} rows, {len(plain)} by the plain loop")
    return best | {"max_difference": max(abs(ours[key] - plain[key]) for key in ours)}


def _write_random_weights(arch: str, path: Path) -> None:
    torch.manual_seed(0)
    register_configs()
    torch.save(open_clip.create_model(arch, pretrained=None).state_dict(), path)


def _run(way: str, pool: Path, out: Path, arguments: Sequence[str]) -> dict[str, float]:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.score_ways", way, str(pool), str(out), *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout))


if __name__ == "__main__":
    sys.exit(main())
