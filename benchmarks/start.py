"""What a command costs before it has read anything: CPU until the first byte of a shard, over that of `import torch`.

Commands run as the shell runs them, each in a fresh process that ends where a shard is opened, in pairs with
`import torch`; the median of the pairs counts. Commands without a model run to their end; their modules are counted.
The last line is one JSON object; a missed limit ends with exit code 1.

    python -m benchmarks.start [--turns 5]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.start_probe import FIRST_READ, TO_THE_END, argv_of
from benchmarks.verdict import verdict

AT_MOST = {"score_vs_torch": 1.3, "train_vs_torch": 1.3, "loader_vs_torch": 1.3, "torch_without_need": 0}
_ARCH = "ViT-Micro-12-48"
_COUNTED = ("torch", "open_clip")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=5, help="Times that each command is started. [5]")
    turns = parser.parse_args().turns
    with tempfile.TemporaryDirectory(prefix="bench-start-") as scratch:
        os.environ["TMPDIR"] = scratch
        folder = _prepared(Path(scratch))
        result = first_reads(folder, turns) | light_commands(folder)
    return verdict(result | {"turns": turns, "cores": len(os.sched_getaffinity(0))}, at_most=AT_MOST)


def first_reads(folder: Path, turns: int) -> dict[str, float]:
    """CPU of each way over that of `import torch` just after it: the median of the pairs."""
    data = ["--data-dir", f"{folder}/pool"]
    score = [*data, "--output-dir", f"{folder}/unread", "--method", "clip", "--model", f"local-dir:{folder}/model"]
    train = [*data, "--output-dir", f"{folder}/runs", "--plan", f"{folder}/out/subsets/kept.plan", "--scale", "small"]
    train += ["--model-arch", _ARCH, "--batch-size", "12", "--train-num-samples", "24", "--num-workers", "0"]
    torch = [sys.executable, "-c", "import torch"]
    ways = {
        "score": argv_of(FIRST_READ, ["score", *score]),
        "train": argv_of(FIRST_READ, ["train", *train]),
        # What the loader workers are forked from.
        "loader": [sys.executable, "-c", "import datascaler.train.loading.batches"],
    }
    ratios: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(turns):
        for name, command in ways.items():
            ratios[name].append(_cpu_seconds(command) / _cpu_seconds(torch))
    return {f"{name}_vs_torch": round(statistics.median(values), 2) for name, values in ratios.items()}


def light_commands(folder: Path) -> dict[str, int]:
    """How many modules commands without a model load, and how many of these commands load torch or open_clip."""
    commands = {
        "pool": ["pool", "check", "--data-dir", f"{folder}/pool"],
        "subset": ["subset", "--output-dir", f"{folder}/out", "--method", "clip", "--fraction", "0.5"],
        "runs": ["runs", f"{folder}/out"],
    }
    counts, heavy = {}, 0
    for name, command in commands.items():
        loaded = json.loads(_said(argv_of(TO_THE_END, command)))
        counts[f"{name}_modules"] = len(loaded)
        heavy += any(each in loaded for each in _COUNTED)
    return counts | {"torch_without_need": heavy}


def _prepared(folder: Path) -> Path:
    """A pool, a model, scores and a plan, made by the commands themselves where there is one."""
    from tests.data.tars import members_of, shard_of
    from tests.tiny_clip import save_local_dir

    (folder / "pool").mkdir()
    (folder / "pool" / "00000000.tar").write_bytes(shard_of(members_of(number) for number in range(24)))
    model = save_local_dir(f"{folder}/model")
    own = [sys.executable, "-m", "datascaler"]
    scored = ["--output-dir", f"{folder}/out", "--method", "clip"]
    _said([*own, "score", "--data-dir", f"{folder}/pool", *scored, "--model", model])
    _said([*own, "subset", *scored, "--fraction", "1.0", "--subset-name", "kept"])
    return folder


def _said(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr[-2000:]}")
    return done.stdout.splitlines()[-1] if done.stdout else ""


def _cpu_seconds(command: Sequence[str]) -> float:
    """User and system time of a process and of those that it waited for."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}\n{said[-2000:]}")
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    sys.exit(main())
