"""What was lost since planning is replaced, in its own places only, whatever was lost."""

import io
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from datascaler.data.plan import compile_plan as build_plan_module
from datascaler.data.pool.samples import OK, read_samples
from datascaler.errors import BadInputError
from tests.data.planned_pools import numbered_pool, overwrite_unseen, planned, rows_of_blocks
from tests.data.tars import members_of, shard_of


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_plan_module, "PLAN_BLOCK_BYTES", 8_000)


def changed(before: Iterable[int], after: Iterable[int]) -> list[int]:
    return [old for old, new in zip(before, after, strict=True) if old != new]


def test_a_damaged_header_costs_the_rest_of_its_block(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pool = numbered_pool(tmp_path, 30)
    order = pool.order()
    clean = pool.drawn(order)
    tar = tmp_path / "pool" / "0.tar"
    broken = bytearray(tar.read_bytes())
    sample = list(read_samples(io.BytesIO(bytes(broken))))[4]
    broken[sample.offset + 3] ^= 1
    overwrite_unseen(tar, bytes(broken))
    lost = [row for row in rows_of_blocks(pool.plan, 4) if row >= 4]
    assert len(lost) > 1
    found = pool.drawn(order)
    assert sorted(changed(clean, found)) == lost
    assert set(found) == set(range(30)) - set(lost)
    assert f"header checksum does not match at byte {sample.offset}" in caplog.text


@pytest.mark.parametrize("change", ["garbage", "emptied", "another", "gone"])
def test_a_shard_that_is_lost_costs_its_own_samples_and_one_warning(
    tmp_path: Path, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    pool = numbered_pool(tmp_path, 30, shards=3)
    order = pool.order()
    clean = pool.drawn(order)
    tar = tmp_path / "pool" / "1.tar"
    contents = {
        "garbage": b"garbage!" * 10_000,
        "emptied": b"",
        "another": shard_of(members_of(number, "x" * 3000) for number in range(10)),
    }
    if change == "gone":
        tar.unlink()
    else:
        overwrite_unseen(tar, contents[change])
    found = pool.drawn(order)
    assert sorted(changed(clean, found)) == list(range(10, 20))
    assert set(found) == {*range(10), *range(20, 30)}
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert re.search(r"1\.tar has changed since it was planned, in bytes \d+-\d+: ", caplog.text)


def test_a_pool_without_a_good_sample_is_an_error_that_says_why(tmp_path: Path) -> None:
    pool = numbered_pool(tmp_path, 10)
    overwrite_unseen(tmp_path / "pool" / "0.tar", b"")
    order = pool.order()
    with pool.reader(order) as reader, pytest.raises(BadInputError, match=r"draw 0 can be .* changed since .*planned"):
        next(sample for sample in reader.candidates(order.draw(0)) if sample.image)


@pytest.mark.parametrize("end", [0.3, 0.62, 0.93])
def test_what_a_shard_lost_before_it_was_planned_costs_no_sample_before_the_fault(tmp_path: Path, end: float) -> None:
    whole = shard_of(members_of(number) for number in range(30))
    (tmp_path / "pool").mkdir()
    (tmp_path / "pool" / "0.tar").write_bytes(whole[: int(end * len(whole))])
    good = [sample for sample in read_samples(io.BytesIO(whole[: int(end * len(whole))])) if sample.status == OK]
    pool = planned(str(tmp_path / "pool"), None, str(tmp_path / "index"))
    assert pool.plan.rows == len(good)
    assert sorted(pool.drawn(pool.order())) == list(range(len(good)))
