"""The list of waits: every place in the source that waits for others, and what bounds it. A new one is to be listed.

A stop is heeded in each: they wait in Python, where a signal is handled at once, or their wait is cut into pieces. A
process that waits inside a library for peers is ended by its parent or by the loss of the peers. What may last is said
after 30 s by `tools/waits.py`, or by a line of its own.
"""

import ast
import logging
import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from datascaler.errors import StoppedError
from datascaler.stop import deferred
from datascaler.tools import waits
from datascaler.train.loading.loader_processes import awaited

SOURCE = Path(__file__).parent.parent / "src" / "datascaler"

TOLD = "said by `waiting_for`; "
WAITS = {
    # ---- pauses: bounded by their length, and signals end them
    "cli/runs.py time.sleep": "one look every --every seconds",
    "cli/watch.py time.sleep": "one look every --every seconds",
    "cluster/act/cancel.py time.sleep": "a pause between looks, up to the time allowed",
    "cluster/kube/api.py time.sleep": "a pause between tries, up to the time allowed",
    "cluster/watch/wait.py time.sleep": "a pause between looks; states are printed, --timeout bounds it",
    "cluster/watch/follow_logs.py self._stopped.wait": "a pause between looks, ended by the end of following",
    "cluster/watch/follow_logs.py self.wait": "no wait: of 0 s",
    "cluster/watch/follow_logs.py ears.wait": "a pause between looks",
    "data/runs/follow_runs.py time.sleep": "a pause between looks; it says what it follows",
    "evaluate/hub/client.py time.sleep": "a pause between tries, a number of them; each is said",
    "tools/trackers.py rows.get": "no wait of the run's: in a tracker's own thread, which nobody waits for for long",
    "storage/place_file.py time.sleep": "a pause between looks at a claim, 30 s at most",
    "storage/publish.py time.sleep": "one second",
    "storage/retry.py time.sleep": "half a second at a time, up to DATASCALER_RETRY_SECONDS; a stop ends it",
    "storage/log_copy.py self._closed.wait": "a pause of the copying thread, ended by the end of the command",
    "tools/child_processes.py time.sleep": "a pause of the thread that looks whether the parent lives",
    "tools/waits.py _PAUSE.wait": "a pause of the thread that says what is waited for",
    "train/lease.py time.sleep": "a pause between looks at a run's lease, 30 s at most; it is said",
    "train/lease.py self._ended.wait": "a pause of the renewing thread, ended by release",
    # ---- locks
    "data/read/cache_space.py fcntl.flock": TOLD + "its holders count bytes, and the system frees it when they die",
    "storage/temporary.py fcntl.flock": "of a folder made just now, or without waiting",
    "train/lease.py fcntl.flock": "without waiting",
    "tools/disk_sort.py self._sorting.acquire": "held for one sort in memory; its thread frees it in `finally`",
    # ---- programs
    "cluster/kube/credentials.py subprocess.run": "a login program, which may ask people; a signal ends the wait",
    "cluster/kube/helm.py subprocess.run": "120 s",
    "train/read_launch.py subprocess.run": "30 s",
    "storage/log_copy.py child.wait": "the command itself, whose output has ended; signals are passed on to it",
    "storage/log_copy.py publisher.join": "45 s",
    "storage/log_copy.py selector.select": "half a second at a time; the child's end is looked for",
    "tools/contained.py child.wait": "limits on time, then after a kill",
    "train/evaluated_beside.py process.wait": "said before; a signal ends the wait, and the child",
    # ---- processes and threads of ours
    "cluster/submit/create.py each.result": "a request to the API server, with its timeout",
    "demo/make_demo.py workers.submit(_train, filter_spec).result": "a worker's death is an error; progress is shown",
    "demo/make_demo.py workers.submit(score_pool, score_spec).result": "the same",
    "demo/make_demo.py accuracy.result": "the same",
    "demo/make_demo.py with ProcessPoolExecutor": "its workers are told to end first",
    "evaluate/embed.py image.result": "a thread that decodes one picture",
    "models/decode_threads.py executor.shutdown": "pictures that are being decoded",
    "score/device_processes.py child.join": "after its answer or its end; at a stop they are killed after a time",
    "score/device_processes.py receiving.recv": TOLD + "a child's death is the end of its pipe",
    "score/pipeline/decoders.py executor.shutdown": "chunks that are being decoded",
    "score/pipeline/decoders.py future.result": TOLD + "a worker's death breaks the pool",
    "score/pipeline/decoders.py turn.wait": "in a thread, for the network's operation on one batch",
    "score/pipeline/publisher.py self._waiting.popleft().result": "a table that is complete, bounded by `retry`",
    "storage/obstore_read.py future.result": "a request, with its timeout",
    "tools/cpu_turns.py self._free.wait": "for the network's operation on one batch; it is freed in `finally`",
    "tools/ordered_map.py future.result": TOLD + "a thread that reads, bounded by `retry`, or computes",
    "tools/worker_threads.py executor.shutdown": "what is under way, bounded by `retry`; no wait at a stop",
    "tools/worker_threads.py thread.join": "2 s for all threads",
    "tools/prefetch.py waiting.get": TOLD + "an error of the thread comes in the item's place",
    "train/lease.py self._renewer.join": "10 s",
    # ---- devices and other processes of a run
    "score/pipeline/score_batches.py batch.results.wait": "the device, for one batch",
    "train/step.py self._arriving.wait": "the device, for one step",
    "train/gradients.py bucket.sent.wait": "15 minutes, as the group's; a lost peer is an error at once",
    "train/gradients.py dist.all_reduce": "queued; waited for as above",
    "train/distributed.py dist.init_process_group": TOLD + "15 minutes",
    "train/distributed.py dist.barrier": TOLD + "15 minutes; a lost peer is an error at once",
    "train/distributed.py dist.all_gather": TOLD + "the same; every step begins with the one that is said",
    "train/distributed.py dist.all_reduce": "the same",
    "train/distributed.py dist.broadcast_object_list": TOLD + "12 hours; a lost peer is an error at once",
    "train/distributed.py dist.destroy_process_group": "all have met just before",
    "train/elastic_agent.py rendezvous.shutdown": "one request to the store of the rendezvous, with its timeout",
}
"""File and call -> its bound."""

_CALLS = {
    *(
        "wait",
        "join",
        "result",
        "recv",
        "acquire",
        "accept",
        "communicate",
        "shutdown",
        "flock",
        "lockf",
        "sleep",
        "get",
    ),
    *("barrier", "all_reduce", "all_gather", "all_gather_object", "gather", "scatter", "broadcast", "select", "poll"),
    *(
        "broadcast_object_list",
        "monitored_barrier",
        "init_process_group",
        "destroy_process_group",
        "send",
        "recv_bytes",
    ),
    *("check_output", "check_call", "urlopen", "create_connection", "connect", "waitpid", "sigwait", "serve_forever"),
}


def test_every_wait_is_listed_with_its_bound() -> None:
    found = Counter(
        f"{path.relative_to(SOURCE)} {call}" for path in SOURCE.rglob("*.py") for call in waits_in(path.read_text())
    )
    assert sorted(found.keys() - WAITS.keys()) == [], "list these in WAITS, each with what bounds it"
    assert sorted(WAITS.keys() - found.keys()) == []
    for place, bound in WAITS.items():
        if bound.startswith(TOLD):
            assert "waiting_for(" in (SOURCE / place.partition(" ")[0]).read_text(), place


def test_the_list_sees_new_waits() -> None:
    """Of every kind: a queue, a join, a barrier, a lock, a program, a socket."""
    lines = (
        *("jobs.get()", "jobs.get(timeout=5)", "thread.join()", "thread.join(5)", "dist.barrier()", "lock.acquire()"),
        *("subprocess.run(['x'])", "subprocess.check_output(['x'])", "socket.create_connection(('a', 1))"),
        *("future.result()", "child.wait()", "event.wait(3)", "fcntl.flock(file, fcntl.LOCK_EX)", "time.sleep(3)"),
    )
    for line in lines:
        assert len(list(waits_in(line))) == 1, line
    assert list(waits_in("with futures.ThreadPoolExecutor(3) as executor: pass")) == ["with futures.ThreadPoolExecutor"]
    for line in ("names.get('x')", "', '.join(names)", "storage.join(folder, 'x')", "table.select(['x'])"):
        assert not list(waits_in(line)), line


def waits_in(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _may_wait(node, node.func):
            yield ast.unparse(node.func)
        if isinstance(node, ast.withitem) and isinstance(node.context_expr, ast.Call):
            opened = ast.unparse(node.context_expr.func)
            if opened.endswith("PoolExecutor"):  # its end waits for whatever its threads are inside
                yield f"with {opened}"


def _may_wait(call: ast.Call, function: ast.Attribute) -> bool:
    owner, name = ast.unparse(function.value), function.attr
    positional = [argument for argument in call.args if not _is_number(argument)]
    if name == "run":
        return owner == "subprocess"
    if name == "join":  # of threads and processes: of nothing, or with a number of seconds
        return not positional and not isinstance(function.value, ast.Constant)
    if name == "get":
        return not positional and owner not in ("scorer", "result")  # Once: computed where it is asked for
    if name in ("gather", "scatter", "broadcast"):  # tensors have these too
        return owner == "dist"
    if name in ("select", "poll", "send"):
        return not call.args and any(keyword.arg == "timeout" for keyword in call.keywords)
    return name in _CALLS


def _is_number(argument: ast.expr) -> bool:
    if isinstance(argument, ast.Constant):
        return isinstance(argument.value, int | float)
    return isinstance(argument, ast.Name) and argument.id.endswith("_SECONDS")


def test_a_long_wait_is_said(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(waits, "SAID_AFTER_SECONDS", 0.1)
    monkeypatch.setattr(waits, "_LOOK_SECONDS", 0.02)
    with caplog.at_level(logging.WARNING), waits.waiting_for("a friend"):
        deadline = time.monotonic() + 20
        while not caplog.messages and time.monotonic() < deadline:
            time.sleep(0.02)
    assert re.fullmatch(r"waiting for a friend, for \d+ s by now", caplog.messages[0])
    said = len(caplog.messages)
    with waits.waiting_for("nothing"):
        pass
    time.sleep(0.1)
    assert len(caplog.messages) == said


def test_a_loop_that_waits_for_its_loader_hears_a_stop() -> None:
    """It is told while no batch comes; one that comes in time is done first."""

    def batches() -> Iterator[int]:
        yield 1
        threading.Timer(0.2, os.kill, [os.getpid(), signal.SIGTERM]).start()
        time.sleep(1)
        yield 2  # within the patience
        time.sleep(60)

    got: list[int | None] = []
    started = time.monotonic()
    with pytest.raises(StoppedError), deferred():
        got.extend(awaited(batches()))
    assert got == [1, 2, None]
    assert time.monotonic() - started < 1 + 5
