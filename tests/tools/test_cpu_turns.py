"""Turns of a network and of decode threads."""

import threading

import pytest
import torch

from datascaler.models.decode_threads import decode_threads
from datascaler.score.pipeline.decoders import decoders, result_of
from datascaler.score.pipeline.prepare_samples import preparation_for
from datascaler.tools.cpu_turns import Turn
from tests.score.test_pipeline import samples
from tests.tiny_clip import tiny_loaded_clip


def test_nothing_begins_while_the_turn_is_taken() -> None:
    turn, began = Turn(), threading.Event()

    def work() -> None:
        turn.wait()
        began.set()

    thread = threading.Thread(target=work)
    with turn.taken():
        thread.start()
        assert not began.wait(0.1)
    assert began.wait(10)
    thread.join()


def test_decode_threads_wait_for_the_network_and_processes_do_not() -> None:
    preparation = preparation_for(tiny_loaded_clip())
    for in_processes in (False, True):
        with decoders(preparation, 1, in_processes=in_processes) as workers:
            with workers.while_paused():
                future = workers.prepare(samples(2), None)
                if in_processes:
                    assert len(result_of(future).samples) == 2
                else:
                    assert not future.done()
            assert len(result_of(future).samples) == 2


def test_a_network_that_fails_leaves_no_thread_waiting() -> None:
    turn = Turn()
    with pytest.raises(MemoryError), turn.taken():
        raise MemoryError
    thread = threading.Thread(target=turn.wait, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()


def test_decode_threads_have_no_helpers_and_others_keep_theirs() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with decode_threads(2) as threads:
            assert threads.submit(torch.get_num_threads).result() == 1
            assert torch.get_num_threads() == 3
        found: list[int] = []
        later = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
        later.start()
        later.join()
        assert found == [3]
    finally:
        torch.set_num_threads(before)
