"""A log beside a shard says whose samples it holds; where they lie is seen in the shard."""

import random
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datascaler.data.plan.compile_plan import compile_plan
from datascaler.data.plan.make_plan import cached_plan
from datascaler.data.plan.plan_file import open_plan
from datascaler.data.plan.shard_rows import rows_of_log
from datascaler.data.pool.samples import OK
from datascaler.data.pool.shards import find_shards
from datascaler.data.read.order import Order
from tests.data.made_tables import uids_of
from tests.data.planned_pools import Pool, first_readable, number_of, uid_of_number
from tests.data.random_pools import sorted_pairs
from tests.data.tars import members_of, shard_of

COUNT = 40
EVEN = range(0, COUNT, 2)
UIDS = [uid_of_number(number) for number in range(COUNT)]


def logged_pool(
    folder: Path, log: list[str], numbers: list[int] | range = range(COUNT), wanted: range | None = EVEN
) -> Pool:
    """Two shards: one with a log of these uids and one, of samples from 100 on, whose log is right."""
    pool = folder / "pool"
    pool.mkdir()
    for name, content, uids in (
        ("0", numbers, log),
        ("1", range(100, 104), [uid_of_number(number) for number in range(100, 104)]),
    ):
        (pool / f"{name}.tar").write_bytes(shard_of(members_of(number) for number in content))
        columns = {"key": [str(row) for row in range(len(uids))], "uid": uids, "status": ["success"] * len(uids)}
        pq.write_table(pa.table(columns), pool / f"{name}.parquet")
    shards = find_shards(str(pool))
    pairs = None if wanted is None else sorted_pairs(wanted_uids(wanted))
    return Pool(str(pool), shards, open_plan(cached_plan(f"{folder}/out", shards, pairs)))


def wanted_uids(numbers: range) -> list[str]:
    return [uid_of_number(number) for number in (*numbers, *range(100, 104))]


def read_samples_of(pool: Pool) -> tuple[Counter[int], int]:
    """How often each sample is drawn in its own place in an epoch, and how many draws have lost theirs."""
    order = pool.order()
    with pool.reader(order) as reader:
        first = [next(reader.candidates(order.draw(number))) for number in range(order.samples)]
    found = [number_of(sample) for sample in first if sample.status == OK]
    return Counter(found), len(first) - len(found)


def wanted_counts(numbers: range | list[int]) -> Counter[int]:
    return Counter([*numbers, *range(100, 104)])


@pytest.mark.parametrize("how", ["sorted", "reversed", "rotated", "shuffled", "two swapped"])
@pytest.mark.parametrize("wanted", [EVEN, None])
def test_a_log_whose_rows_are_permuted_is_read_right(tmp_path: Path, how: str, wanted: range | None) -> None:
    log = {
        "sorted": sorted(UIDS),
        "reversed": UIDS[::-1],
        "rotated": UIDS[1:] + UIDS[:1],
        "shuffled": random.Random(0).sample(UIDS, COUNT),
        "two swapped": [UIDS[0], UIDS[2], UIDS[1], *UIDS[3:]],
    }[how]
    pool = logged_pool(tmp_path, log, wanted=wanted)
    assert read_samples_of(pool) == (wanted_counts(range(COUNT) if wanted is None else EVEN), 0)


def test_uids_of_any_case_are_the_same(tmp_path: Path) -> None:
    pool = logged_pool(tmp_path, [uid.upper() for uid in UIDS[::-1]])
    assert read_samples_of(pool) == (wanted_counts(EVEN), 0)


def test_what_a_log_lists_and_the_shard_has_not_is_lost_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Samples at the front are gone, so all others have moved."""
    pool = logged_pool(tmp_path, UIDS, range(7, COUNT))
    assert read_samples_of(pool) == (wanted_counts(range(8, COUNT, 2)), 4)
    (message,) = caplog.messages
    assert "0.tar does not hold what the parquet beside it lists" in message
    assert "samples are not there in good state" in message


def test_the_log_of_another_pool_gives_none_of_its_samples(tmp_path: Path) -> None:
    strange = uids_of(COUNT)
    pool = logged_pool(tmp_path, [*strange[:-1], UIDS[4]], wanted=None)
    assert read_samples_of(pool) == (wanted_counts([4]), COUNT - 1)


def test_a_sample_that_a_log_lists_twice_is_drawn_once(tmp_path: Path) -> None:
    log = [*UIDS[:5], UIDS[4], *UIDS[5:]]
    assert read_samples_of(logged_pool(tmp_path, log)) == (wanted_counts(EVEN), 0)


def test_a_uid_that_a_shard_has_twice_is_the_first_in_good_state(tmp_path: Path) -> None:
    rows = [members_of(number) for number in range(4)]
    rows[1] = members_of(10, uid=UIDS[3]) | {"png": b""}
    rows.append(members_of(11, uid=UIDS[0]))
    (tmp_path / "0.tar").write_bytes(shard_of(rows))
    pq.write_table(pa.table({"uid": [UIDS[3], *UIDS[1:3], UIDS[0]], "status": ["success"] * 4}), tmp_path / "0.parquet")
    shards = find_shards(str(tmp_path))
    plan, _ = compile_plan(shards, rows_of_log, sorted_pairs([UIDS[0], UIDS[3]]))
    pool = Pool(str(tmp_path), shards, plan)
    with pool.reader(Order(plan.arrays["block_kept"], 0, 1)) as reader:
        order = Order(plan.arrays["block_kept"], 0, 1)
        assert {number_of(first_readable(reader, order, number)) for number in range(2)} == {0, 3}


@pytest.mark.parametrize("member", ["json", "txt", "png"])
def test_what_scoring_would_refuse_is_not_read(tmp_path: Path, member: str) -> None:
    rows = [members_of(number) for number in range(COUNT)]
    rows[6] |= {member: {"json": b"[" * 9_000, "txt": b"\xff", "png": b""}[member]}
    pool = logged_pool(tmp_path, UIDS[::-1])
    (tmp_path / "pool" / "0.tar").write_bytes(shard_of(rows))
    pool.shards = find_shards(pool.url)
    pool.plan = open_plan(cached_plan(f"{tmp_path}/out", pool.shards, sorted_pairs(wanted_uids(EVEN))))
    found, lost = read_samples_of(pool)
    assert (found, lost) == (wanted_counts([number for number in EVEN if number != 6]), 1)


def test_repeats_go_with_the_uid(tmp_path: Path) -> None:
    pool = logged_pool(tmp_path, sorted(UIDS))
    wanted = [UIDS[3], UIDS[3], UIDS[3], UIDS[20], UIDS[20], UIDS[39]]
    plan = open_plan(cached_plan(f"{tmp_path}/out", pool.shards, sorted_pairs(wanted)))
    assert read_samples_of(Pool(pool.url, pool.shards, plan)) == (Counter({3: 3, 20: 2, 39: 1}), 0)


def test_a_run_does_not_go_on_by_a_log_in_another_order(tmp_path: Path) -> None:
    """All rows are kept both times, so nothing else tells the two plans apart."""
    digests = []
    for number, log in enumerate((UIDS, UIDS[::-1], UIDS)):
        (tmp_path / str(number)).mkdir()
        digests.append(logged_pool(tmp_path / str(number), log, wanted=None).plan.order_digest)
    assert digests[0] == digests[2] != digests[1]
