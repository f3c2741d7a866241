"""The scoring pipeline on an accelerator, against its own forward and against what the machine's cores can decode.

The pool and the ways are those of benchmarks.score; one decode worker for each core. A sample can come through no
faster than the slower of the two allows; `..._of_bound` says how near to that the pipeline is. The last line is one
JSON object; a missed limit ends with exit code 1.

    python -m benchmarks.score_on_gpu [--turns 1] [--folder DIR] [--l14-rows 16384] [--b32-rows 40960]
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path

import torch

from benchmarks.score_costs import Costs, Network, costs
from benchmarks.verdict import verdict

DECODED = Network("ViT-B-32", 16384, 512)
"""Both networks see 224 px."""
AT_LEAST = {"l14_of_bound": 0.90}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=1, help="Times that each way is run. [1]")
    parser.add_argument("--folder", help="Where some GB of scratch may go. [the system's]")
    parser.add_argument("--l14-rows", type=int, default=16384, help="Of the pool for ViT-L-14. [16384]")
    parser.add_argument("--b32-rows", type=int, default=40960, help="Of the pool for ViT-B-32. [40960]")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("torch sees no accelerator; `python -m benchmarks.score` is for a machine without one")
    cores = len(os.sched_getaffinity(0))
    networks = {
        "l14": Network("ViT-L-14", arguments.l14_rows, 256),
        "b32": Network("ViT-B-32", arguments.b32_rows, 512),
    }
    decode_ms = _costs(DECODED, ("decode",), arguments).median_of(itemgetter("decode_ms"))
    result: dict[str, float | str] = {
        "device": torch.cuda.get_device_name(),
        "cores": cores,
        "decoded_per_second": round(1000 / decode_ms),
    }
    for name, network in networks.items():
        took = _costs(network, ("pipeline", "forward"), arguments)
        result[f"{name}_of_bound"] = took.median_of(
            lambda cost: max(cost["forward_ms"], decode_ms) / cost["pipeline_ms"]
        )
        result[f"{name}_per_second"] = took.median_of(lambda cost: 1000 / cost["pipeline_ms"])
        result[f"{name}_forward_per_second"] = took.median_of(lambda cost: 1000 / cost["forward_ms"])
        result |= took.medians(name)
    return verdict(result, at_least=AT_LEAST)


def _costs(network: Network, ways: Sequence[str], arguments: argparse.Namespace) -> Costs:
    with tempfile.TemporaryDirectory(prefix="bench-score-", dir=arguments.folder) as scratch:
        return costs(Path(scratch), network, ways, arguments.turns)


if __name__ == "__main__":
    sys.exit(main())
