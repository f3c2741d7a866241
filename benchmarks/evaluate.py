"""A whole evaluation against the forward of its model alone: what reading, decoding, scores and files add.

ViT-B-32 with random weights on the CPU, two evaluation sets of JPEGs whose longer side is 512, in a local folder. Both
ways take turns in one process, on one model. The last line is one JSON object; a missed limit ends with exit code 1.

    python -m benchmarks.evaluate [--images 192] [--turns 7] [--folder DIR]
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import open_clip
import torch

from benchmarks.read_pool import SIZES
from benchmarks.verdict import verdict
from datascaler.evaluate.evaluate_tasks import evaluate_tasks
from datascaler.evaluate.tasks import Task
from datascaler.models.freed_memory import keep_freed_memory_on_cpu
from datascaler.models.load import load_clip
from datascaler.models.loaded import LoadedClip
from tests.evaluate.sets import TEMPLATES, TEN_CLASSES, write_set
from tests.natural import encoded, natural_picture

AT_LEAST = {"pipeline_vs_forward": 0.90}
ARCH, BATCH = "ViT-B-32", 64
TASKS = ("cifar10", "mnist")
_PICTURES = 64
"""Distinct ones; a network does not mind that they come again."""
_Cost = tuple[float, float]
"""Wall and CPU seconds."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=192, help="Of both sets together. [192]")
    parser.add_argument("--turns", type=int, default=7, help="Times that each way is run. [7]")
    parser.add_argument("--folder", help="Where 1 GB of scratch may go. [the system's]")
    arguments = parser.parse_args()
    keep_freed_memory_on_cpu()
    with tempfile.TemporaryDirectory(prefix="bench-eval-", dir=arguments.folder) as scratch:
        model = _random_model(Path(scratch))
        for _ in range(2):  # the first batches pay for allocation and kernel choice
            _evaluation(model, Path(scratch) / "warm-up", BATCH)()
            _forward(model, BATCH)()
        ways = {
            "pipeline": _evaluation(model, Path(scratch) / "sets", arguments.images),
            "forward": _forward(model, arguments.images),
        }
        turns = [_turn(ways, number) for number in range(arguments.turns)]
    costs = {
        f"{way}_{kind}ms": round(1000 * median(turn[way][place] for turn in turns) / arguments.images, 2)
        for way in ways
        for place, kind in enumerate(("", "cpu_"))
    }
    ratios = [turn["forward"][0] / turn["pipeline"][0] for turn in turns]
    cores = len(os.sched_getaffinity(0))
    result = {"pipeline_vs_forward": round(median(ratios), 3), **costs, "images": arguments.images, "cores": cores}
    return verdict(result, at_least=AT_LEAST)


def _turn(ways: dict[str, Callable[[], object]], number: int) -> dict[str, _Cost]:
    # Every other turn goes backwards: no way is always the one on a machine that has warmed up.
    return {name: _cost(ways[name]) for name in list(ways)[:: -1 if number % 2 else 1]}


def _cost(work: Callable[[], object]) -> _Cost:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def _evaluation(model: LoadedClip, folder: Path, images: int) -> Callable[[], object]:
    """All of it: sets opened, prompts and images embedded, metrics, intervals, files."""
    each = images // len(TASKS)
    if not folder.exists():
        pictures = [
            encoded(natural_picture(*SIZES[seed % len(SIZES)], seed=seed, slope=1.9), "JPEG", quality=95)
            for seed in range(_PICTURES)
        ]
        samples = [{"jpg": pictures[row % _PICTURES], "cls": b"%d" % (row % 10)} for row in range(each)]
        for name in TASKS:
            write_set(str(folder / f"wds_{name}_test"), samples, classnames=TEN_CLASSES)
    tasks = [Task(key=name, name=name, size=each) for name in TASKS]
    workers = len(os.sched_getaffinity(0))

    def run() -> None:
        with tempfile.TemporaryDirectory(dir=folder) as out:
            evaluate_tasks(
                model, data_dir=str(folder), output_dir=out, tasks=tasks, batch_size=BATCH, num_workers=workers
            )

    return run


def _forward(model: LoadedClip, images: int) -> Callable[[], object]:
    """The two towers on as many images and prompts, in the same batches, all of which are in memory."""
    each = images // len(TASKS)
    side = open_clip.get_model_config(ARCH)["vision_cfg"]["image_size"]
    batch = torch.randn(min(BATCH, each), 3, side, side)
    prompts = model.tokenize([text.replace("{c}", name) for name in TEN_CLASSES for text in TEMPLATES])

    def run() -> None:
        for _ in TASKS:
            model.embed_texts(prompts)
            for start in range(0, each, BATCH):
                model.embed_images(batch[: each - start])

    return run


def _random_model(folder: Path) -> LoadedClip:
    torch.manual_seed(0)
    torch.save(open_clip.create_model(ARCH, pretrained=None).state_dict(), folder / "weights.pt")
    return load_clip(ARCH, str(folder / "weights.pt"), torch.device("cpu"))


if __name__ == "__main__":
    sys.exit(main())
