"""Evaluations that are killed (SIGKILL) between tasks, in the middle of one and while files are written, and restarted.

The processes are forked from one that has imported torch, so each costs what its work does.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from datascaler.evaluate import evaluate_tasks as run
from datascaler.evaluate.evaluate_tasks import evaluate_tasks
from datascaler.models.loaded import LoadedClip
from datascaler.tools.child_processes import fork_server
from tests.evaluate.sets import captioned, labelled, task_of, write_set
from tests.tiny_clip import tiny_loaded_clip

TASKS = [task_of("cifar10", 7), task_of("retrieval/flickr", 6, main_metric="mean_recall@1", group="Retrieval")]
FILES = (
    "eval_results.jsonl",
    "eval_summary.json",
    "eval_samples/cifar10.parquet",
    "eval_samples/retrieval-flickr.parquet",
)


def evaluate(data_dir: str, output_dir: str) -> None:
    """In one thread, wherever it is called: on some processors another number rounds otherwise."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    evaluate_tasks(
        tiny_loaded_clip(0), data_dir=data_dir, output_dir=output_dir, tasks=TASKS, batch_size=4, num_workers=1
    )
    torch.set_num_threads(threads)


def at_every_moment(act: Callable[[], None], patch: Callable[[Any, str, Any], None]) -> None:
    """Call `act` before each batch of images, before and after each file, and before a file gets its name."""
    publishing: Any = sys.modules["datascaler.storage.publish"]
    put, write, embed = publishing._put, publishing._write, LoadedClip.embed_images

    def acting_put(*arguments: Any) -> None:
        act()
        put(*arguments)
        act()

    def acting_write(*arguments: Any) -> None:
        write(*arguments)
        act()

    def acting_embed(*arguments: Any) -> Any:
        act()
        return embed(*arguments)

    patch(publishing, "_put", acting_put)
    patch(publishing, "_write", acting_write)
    patch(LoadedClip, "embed_images", acting_embed)


def work_until(moment: int, data_dir: str, output_dir: str) -> None:
    """In a process of its own, which ends there."""
    passed = iter(range(moment))

    def die() -> None:
        if next(passed, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    at_every_moment(die, setattr)
    evaluate(data_dir, output_dir)


def count_moments(data_dir: str, output_dir: str) -> int:
    moments: list[None] = []
    with pytest.MonkeyPatch.context() as patch:
        at_every_moment(lambda: moments.append(None), patch.setattr)
        evaluate(data_dir, output_dir)
    return len(moments)


def write_data(folder: Path) -> str:
    write_set(str(folder / "cifar10"), labelled(7))
    write_set(str(folder / "wds_flickr_test"), captioned(6), dataset_type="retrieval")
    return str(folder)


def check_killed_at(moments: list[int], data_dir: str, whole: Path, folder: Path) -> None:
    """Kill a process at each moment: what is done then is not done again, and the files are those of `whole`."""
    context = fork_server(["datascaler.evaluate.evaluate_tasks", "tests.evaluate.killed"])
    for moment in moments:
        out = folder / str(moment)
        process = context.Process(target=work_until, args=(moment, data_dir, str(out)))
        process.start()
        process.join(120)
        assert process.exitcode == -signal.SIGKILL, moment
        there = {path.stem for path in (out / "eval_results").glob("*.json")}
        with pytest.MonkeyPatch.context() as patch:
            done = count_work(patch)
            evaluate(data_dir, str(out))
        assert done == [task.key for task in TASKS if task.slug not in there], moment
        for name in FILES:
            assert (out / name).read_bytes() == (whole / name).read_bytes(), (moment, name)


def count_work(patch: pytest.MonkeyPatch) -> list[str]:
    done: list[str] = []
    original = run._evaluate_task

    def counted(model: Any, job: Any, *rest: Any) -> Any:
        done.append(job.task.key)
        return original(model, job, *rest)

    patch.setattr(run, "_evaluate_task", counted)
    return done
