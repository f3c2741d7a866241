"""The scoring pipeline against its own forward, against its parts, and against a plain open_clip + webdataset loop.

Two networks with random weights: ViT-B-32 (224 px, 151 M parameters), where the forward is nearly everything, and
ViT-Mini-8-48 (48 px, 5 M), where decoding is. The pool is two shards of JPEGs whose longer side is 512, in a local
folder. The last line is one JSON object; a missed limit ends with exit code 1.

    python -m benchmarks.score [--turns 11] [--folder DIR]
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.score_costs import Network, costs, scores_of
from benchmarks.score_options import fast_decoder, half_precision
from benchmarks.verdict import verdict
from datascaler.data.pool.images import decode_pixels
from datascaler.data.pool.samples import read_samples
from datascaler.score.tmars.detector import load_text_detector
from datascaler.score.tmars.mask import mask_text

AT_LEAST = {
    "pipeline_vs_forward_b32": 0.90,
    "cpu_efficiency_small": 0.85,
    "vs_plain_loop_b32": 1.30,
    "vs_plain_loop_small": 1.2,
    "decode_fast_vs_default": 2.2,
}
AT_MOST = {"max_difference": 1e-5, "decode_fast_difference": 1e-5}
AT_LEAST_IN_BF16 = {"bf16_vs_fp32": 1.8}
AT_MOST_IN_BF16 = {"bf16_kept_difference": 0.005}
B32 = Network("ViT-B-32", 256, 64)
SMALL = Network("ViT-Mini-8-48", 2048, 256)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=11, help="Times that each way is run. [11]")
    parser.add_argument("--folder", help="Where 1 GB of scratch may go. [the system's]")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-score-", dir=arguments.folder) as scratch:
        folder = Path(scratch)
        b32 = costs(folder, B32, ("plain", "pipeline", "forward"), arguments.turns)
        small = costs(folder, SMALL, ("plain", "pipeline", "forward", "decode"), arguments.turns)
        difference = max(_difference(folder, network) for network in (B32, SMALL))
        stages = text_masking_stages(folder / B32.arch / "pool" / "00000000.tar")
        fast = fast_decoder(B32.arch, folder / B32.arch / "weights.pt")
        half = half_precision(B32.arch, folder / B32.arch / "weights.pt")
    result = {
        "pipeline_vs_forward_b32": b32.median_of(lambda cost: cost["forward_ms"] / cost["pipeline_ms"]),
        "cpu_efficiency_small": small.median_of(
            lambda cost: (cost["decode_cpu_ms"] + cost["forward_cpu_ms"]) / cost["pipeline_cpu_ms"]
        ),
        "vs_plain_loop_b32": b32.median_of(lambda cost: cost["plain_ms"] / cost["pipeline_ms"]),
        "vs_plain_loop_small": small.median_of(lambda cost: cost["plain_ms"] / cost["pipeline_ms"]),
        "max_difference": difference,
        **b32.medians("b32"),
        **small.medians("small"),
        **stages,
        **fast,
        **half,
        "cores": len(os.sched_getaffinity(0)),
    }
    return verdict(
        result,
        at_least=AT_LEAST | (AT_LEAST_IN_BF16 if half else {}),
        at_most=AT_MOST | (AT_MOST_IN_BF16 if half else {}),
    )


def text_masking_stages(tar: Path, pictures: int = 48) -> dict[str, float]:
    """What T-MARS adds to a sample, in ms of one core: finding text, painting over it."""
    detector = load_text_detector()
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


def _difference(folder: Path, network: Network) -> float:
    """Between our cosines and the plain loop's, of any row."""
    ours, plain = scores_of(folder, network, "pipeline"), scores_of(folder, network, "plain")
    if ours.keys() != plain.keys():
        raise AssertionError(f"{len(ours)} rows, {len(plain)} by the plain loop")
    return max(abs(ours[key] - plain[key]) for key in ours)


if __name__ == "__main__":
    sys.exit(main())
