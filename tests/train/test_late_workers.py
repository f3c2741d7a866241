"""Workers of an elastic job that find nobody: each ends by itself, with the code that says what to do with it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from datascaler.train.train_clip import train_clip
from tests.train.elastic import Cluster
from tests.train.runs import tiny_spec

Start = Callable[..., Cluster]


@pytest.fixture
def cluster(pool: str, tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def make(**options: str) -> Cluster:
            made = Cluster(tiny_spec(pool, str(tmp_path / "out")), tmp_path / "logs", **options)
            stack.callback(made.stop)
            return made

        yield make


def test_a_complete_run_needs_nobody(cluster: Start) -> None:
    """A pod that comes late must neither wait for the others nor count as failed."""
    late = cluster(nodes="3")
    summary = train_clip(late.spec)
    assert summary is not None
    late.start(2)
    assert late.wait(2) == 0
    assert summary.checkpoint in late.said()
    # Another run in the same folder is still an error.
    late.spec = replace(late.spec, batch_size=4)
    late.start(3)
    assert late.wait(3) == 78
    assert "holds another run: batch_size was 12 and is now 4" in late.said()


def test_a_worker_whose_peers_do_not_come_tries_again(cluster: Start) -> None:
    alone = cluster(nodes="2", conf="join_timeout=1")
    alone.start(1)
    assert alone.wait(1) == 75
    assert alone.said().splitlines()[-1] == "datascaler: error: too few nodes came in time; the same command goes on"


def test_a_worker_whose_rendezvous_is_not_there_tries_again(cluster: Start) -> None:
    """As when worker 0 is not yet up."""
    early = cluster(conf="join_timeout=5,read_timeout=2")
    early.start(2)
    assert early.wait(2) == 75
    reason = "the node that keeps the rendezvous is lost or did not start"
    assert early.said().splitlines()[-1] == f"datascaler: error: {reason}; the same command goes on"
