"""Several accelerators in one pod or machine: a scoring process for each, which takes a part of this worker's part."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from datascaler.errors import BadInputError, DatascalerError, StoppedError
from datascaler.score.score_summary import ScoreSummary, merged_summaries
from datascaler.spec.score import ScoreSpec
from datascaler.stop import held_back, listen
from datascaler.tools.child_processes import end_with_parent, start_resource_tracker
from datascaler.tools.waits import waiting_for

ProcessAnswer = ScoreSummary | DatascalerError | StoppedError
"""What a process sends back at its end."""

_STOP_SECONDS = 20.0
"""The time that all processes have to end after SIGTERM: less than a pod's usual grace of 30."""


def accelerators() -> int:
    """How many this process sees."""
    import torch

    return torch.cuda.device_count()


def score_in_processes(spec: ScoreSpec, processes: int) -> ScoreSummary:
    """Score this worker's shards in `processes` processes, the g-th of which sees the g-th accelerator only.

    All of them end before this returns or raises: the gravest of their errors, BadInputError only if there is no other.
    """
    context = multiprocessing.get_context("spawn")
    start_resource_tracker()  # else the first process does, which lets the signals through
    answers: list[Connection] = []
    children: list[BaseProcess] = []
    with _ended(children):
        for number in range(processes):
            # shards[i::n][g::k] is shards[i + g * n :: n * k]: right however many accelerators other workers have.
            part = replace(spec, index=spec.index + number * spec.count, count=spec.count * processes)
            receiving, sending = context.Pipe(duplex=False)
            child = context.Process(target=_score_part, args=(part, number, sending), name=f"accelerator {number}")
            with held_back():
                child.start()
            children.append(child)
            answers.append(receiving)
            sending.close()
        results = [_answer(child, receiving) for child, receiving in zip(children, answers, strict=True)]
    return _merged(results)


def _score_part(spec: ScoreSpec, number: int, answer: Connection) -> None:
    """What a process does. Its summary or error is what it sends."""
    _see_only(number)
    end_with_parent()
    # A Ctrl-C goes to all processes of a terminal; the one above tells this one, once it knows what it means.
    listen([signal.SIGTERM])
    try:
        from datascaler.models.freed_memory import keep_freed_memory_on_cpu
        from datascaler.score.score_with_model import score_with_model

        keep_freed_memory_on_cpu()
        answer.send(score_with_model(spec))
    except (DatascalerError, StoppedError) as error:
        answer.send(error)


def _see_only(number: int) -> None:
    """Hide the other devices from this process; call it before torch is imported."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    os.environ["CUDA_VISIBLE_DEVICES"] = (
        visible.split(",")[number % len(visible.split(","))] if visible else f"{number}"
    )
    if number:
        os.environ["TQDM_DISABLE"] = "1"  # one bar is enough: all parts are about alike


@contextmanager
def _ended(children: Sequence[BaseProcess]) -> Iterator[None]:
    """Whatever happens inside, afterwards no child runs: SIGTERM lets them publish what is complete."""
    try:
        yield
    finally:
        for child in children:
            child.terminate()  # nothing, for one that has ended
        deadline = threading.Timer(_STOP_SECONDS, _kill, [children])
        deadline.daemon = True
        deadline.start()
        for child in children:
            child.join()
        deadline.cancel()


def _kill(children: Sequence[BaseProcess]) -> None:
    for child in children:
        child.kill()


def _answer(child: BaseProcess, receiving: Connection) -> ProcessAnswer:
    try:
        with waiting_for(f"the process of {child.name}"):
            answer = receiving.recv()
    except EOFError:
        child.join()
        return DatascalerError(f"the process of {child.name} ended with {child.exitcode}; the same command goes on")
    child.join()
    assert isinstance(answer, ProcessAnswer)
    return answer


def _merged(results: Sequence[ProcessAnswer]) -> ScoreSummary:
    errors = [result for result in results if not isinstance(result, ScoreSummary)]
    bad_input = [error for error in errors if isinstance(error, BadInputError)]
    if grave := [error for error in errors if not isinstance(error, BadInputError)]:
        raise grave[0]
    parts = [result for result in results if isinstance(result, ScoreSummary)]
    summary = merged_summaries([*parts, *(error.finished for error in bad_input if error.finished)])
    if bad_input:
        raise BadInputError("; ".join(map(str, bad_input))).after(summary)
    return summary
