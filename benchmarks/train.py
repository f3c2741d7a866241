"""Our training step against open_clip's own, muP against the standard parametrisation, training against its loader.

Steps of the compared kinds take turns on the same batches, in memory and in one process. A ratio is of two of one turn,
and a figure is the median over the turns, with its 95% interval (`..._low`, `..._high`). The last line is one JSON
object; a missed limit ends with exit code 1.

    python -m benchmarks.train [--turns 15] [--arch ViT-B-32] [--batch-size 32] [--folder DIR]
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from benchmarks.processor import has_bf16_units
from benchmarks.train_loader import loader_turns
from benchmarks.train_steps import host_reads, open_clip_step, own_step, prepared_batches, ratio, take_turns
from benchmarks.verdict import verdict
from datascaler.spec.train import TrainSpec, datacomp_recipe

AT_MOST = {"step_vs_open_clip": 0.75, "mup_vs_standard": 1.05, "step_syncs": 0}
AT_MOST_WITH_BF16_UNITS = {"step_vs_open_clip_bf16": 0.50}
AT_LEAST = {"loader_share": 0.80}
LOADER_TURNS = 5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=15, help="Times that each kind of step is taken. [15]")
    parser.add_argument("--arch", default="ViT-B-32", help="open_clip architecture. [ViT-B-32]")
    parser.add_argument("--batch-size", type=int, default=32, help="[32]")
    parser.add_argument("--folder", help="Where 200 MB of scratch may go. [the system's]")
    arguments = parser.parse_args()
    spec = datacomp_recipe(
        "small", data_dir="none", output_dir="none", model_arch=arguments.arch, batch_size=arguments.batch_size
    )
    result = {
        **against_open_clip(spec, arguments.turns),
        **mup_against_standard(spec, arguments.turns),
        "step_syncs": host_reads(spec),
    }
    with tempfile.TemporaryDirectory(prefix="bench-train-", dir=arguments.folder) as scratch:
        turns = loader_turns(Path(scratch), min(LOADER_TURNS, arguments.turns))
    result |= ratio(turns, "loader_share", "loader", "training")
    result |= {"cores": len(os.sched_getaffinity(0)), "bf16_units": has_bf16_units()}
    at_most = AT_MOST | (AT_MOST_WITH_BF16_UNITS if has_bf16_units() else {})
    return verdict(result, at_least=AT_LEAST, at_most=at_most)


def against_open_clip(spec: TrainSpec, turns: int) -> dict[str, float]:
    """In fp32, and in bf16 against its fp32 as against its bf16."""
    batches = list(prepared_batches(spec, turns + 1))
    bf16 = TrainSpec.from_record(spec.record() | {"precision": "bf16"})
    both = take_turns({"open_clip": open_clip_step(spec), "ours": own_step(spec), "ours_bf16": own_step(bf16)}, batches)
    # Networks of two kinds more would not fit the memory of a small machine beside these.
    in_bf16 = take_turns({"open_clip": open_clip_step(spec, "amp_bf16"), "ours": own_step(bf16)}, batches)
    return {
        **ratio(both, "step_vs_open_clip", "ours", "open_clip"),
        **ratio(both, "step_vs_open_clip_bf16", "ours_bf16", "open_clip"),
        **ratio(in_bf16, "bf16_vs_open_clip_bf16", "ours", "open_clip"),
        **{f"{name}_seconds": round(sorted(turn[name] for turn in both)[len(both) // 2], 3) for name in both[0]},
    }


def mup_against_standard(spec: TrainSpec, turns: int) -> dict[str, float]:
    """At half the width, from a base of a quarter."""
    half = spec.record() | {"width_mult": "1/2", "min_width_mult": "1/4"}
    steps = {name: own_step(TrainSpec.from_record(half | {"use_mup": name == "mup"})) for name in ("standard", "mup")}
    return ratio(take_turns(steps, list(prepared_batches(spec, turns + 1))), "mup_vs_standard", "mup", "standard")


if __name__ == "__main__":
    sys.exit(main())
