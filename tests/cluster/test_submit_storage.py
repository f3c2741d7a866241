"""What `datascaler submit` reads and writes in storage: the list of shards, and the recipe of a subset."""

from collections.abc import Iterator

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from datascaler import storage
from tests.cluster.replay import Replay, recorded_answer
from tests.cluster.submitting import JOBS, jobs, submit

pytestmark = pytest.mark.usefixtures("kubeconfig", "real_helm")

POOL = ["--data-dir", "memory://freeze/pool", "--output-dir", "memory://freeze/out"]
FROZEN = "memory://freeze/out/shards.parquet"


@pytest.fixture(autouse=True)
def pool() -> Iterator[None]:
    """Two shards, which a submit sees as pods do."""
    for name in ("0", "1"):
        storage.publish_bytes(f"memory://freeze/pool/{name}.tar", b"\0" * 1024)
    yield
    MemoryFileSystem.store.clear()


def test_shards_are_frozen_once_the_server_has_nothing_against_the_run(server: Replay) -> None:
    """A list that stays behind would tie the output folder to a pool that may have been a slip."""
    server.answer("POST", JOBS, *recorded_answer("unknown field"))
    result = submit("score", *POOL)
    assert (result.exit_code, storage.exists(FROZEN)) == (1, False)
    assert "pool " not in result.stderr
    server.answers.pop()
    assert submit("score", *POOL, "--dry-run=server").exit_code == 0
    assert not storage.exists(FROZEN)
    result = submit("score", *POOL)
    assert (result.exit_code, storage.exists(FROZEN)) == (0, True)
    assert "pool      2 shards, 0.0 GB; at most 20,000 samples" in result.stderr


def test_a_pool_that_only_pods_see_is_listed_by_them(server: Replay) -> None:
    result = submit("score", "--data-dir", "memory://nowhere/pool", "--output-dir", "memory://nowhere/out")
    assert result.exit_code == 0
    assert "the pool can't be seen from here, so the pods will list it: no .tar files in" in result.stderr
    assert len(jobs(server)) == 1


def test_a_recipe_that_can_not_be_read_from_here_is_for_the_pods(server: Replay) -> None:
    result = submit("train", "--subset-file", "nowhere://bucket/best.npy")
    assert result.exit_code == 0, result.exception
    assert "could not read the subset's recipe from here: " in result.stderr
    assert len(jobs(server)) == 1


def test_only_storage_is_to_blame_for_that(server: Replay) -> None:
    """A wrong flag that has to do with the recipe is still wrong."""
    digest = {"digest": "0", "method": "clip", "fraction": "1.5"}
    storage.publish_json("memory://wrong/recipe.json", digest)
    result = submit("train", "--subset-file", "memory://wrong/recipe.npy")
    assert result.exit_code != 0
    assert "fraction must be above 0 and at most 1, got 1.5" in str(result.exception) + result.stderr
    assert "could not read" not in result.stderr
    assert jobs(server) == {}
