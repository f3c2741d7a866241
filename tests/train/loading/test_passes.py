"""Copies without a plan: an epoch of several passes, each sample in as many of them as it has copies."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from datascaler import storage
from datascaler.data.pool.uids import join_uid, sort_order, uid_array, uid_of
from datascaler.data.subset.subset import write_subset
from datascaler.train.loading import stream_source as unplanned
from datascaler.train.loading.stream_source import MOST_PASSES, passes_of, times_in_pass
from datascaler.train.open_data import opened_data
from tests.data.plan.test_copy_parts import copies_in, expected_copies
from tests.data.tars import members_of, shard_of
from tests.train.loading.test_no_plan import one_process, unplanned_spec


@pytest.mark.parametrize("passes", [1, 2, 5, 12, 64])
def test_each_sample_is_in_as_many_passes_as_it_has_copies(passes: int) -> None:
    generator = np.random.default_rng(0)
    times = generator.integers(0, passes + 1, 2000)
    phases = generator.integers(0, 1 << 64, 2000, dtype=np.uint64)
    phases[:2] = 0, (1 << 64) - 1
    found = np.stack([times_in_pass(times, phases, number, passes) for number in range(passes)])
    assert found.sum(0).tolist() == times.tolist()
    assert found.max() == 1
    # The passes are equally long, and a sample that is in some of them is not in two that follow each other.
    assert np.ptp(found.sum(1)) < 0.15 * found.sum(1).mean() + 20
    rare = found[:, times <= passes // 2]
    assert not (rare[1:] & rare[:-1]).any()


def test_what_is_repeated_more_often_is_in_every_pass() -> None:
    assert (passes_of(1), passes_of(7), passes_of(1000)) == (1, 7, MOST_PASSES)
    found = [times_in_pass(np.array([1000]), np.array([12345 << 48], np.uint64), number, 64) for number in range(64)]
    assert sum(each.item() for each in found) == 1000
    assert {each.item() for each in found} == {15, 16}


def test_copies_in_a_batch_are_those_of_a_shuffle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """400 samples, one in eight of them 2 to 6 times; the batch is a tenth of an epoch."""
    monkeypatch.setattr(unplanned, "SHUFFLE_SAMPLES", 64)
    generator = np.random.default_rng(1)
    counts = np.where(generator.random(400) < 0.125, generator.integers(2, 7, 400), 1)
    for shard in range(4):
        rows = map(members_of, range(shard * 100, shard * 100 + 100))
        storage.publish_bytes(f"{tmp_path}/pool/{shard}.tar", shard_of(rows))
    numbers = {uid_of(f"caption {number}", str(number)): number for number in range(400)}
    uids = uid_array([uid for uid, number in numbers.items() for _ in range(counts[number])])
    (subset,) = write_subset(f"{tmp_path}/wanted", uids[sort_order(uids)], {}, ["npy"])
    size, batch, epochs = int(counts.sum()), int(counts.sum()) // 10, 6
    with opened_data(unplanned_spec(f"{tmp_path}/pool", tmp_path / "out", subset), one_process()) as data:
        assert (data.passes, data.inputs["passes"]) == (6, 6)
        feed = data.source.open(seed=0, batch_size=1, end=0)
        drawn = [join_uid(*next(found).uid) for _, found in feed.part(0, epochs * size, 0, 1)]
    copies = []
    for epoch in range(epochs):
        samples = np.array([numbers[uid] for uid in drawn[epoch * size : (epoch + 1) * size]])
        assert Counter(samples.tolist()) == Counter(dict(enumerate(counts.tolist())))
        copies += [copies_in(samples[at : at + batch]) for at in range(0, size - batch + 1, batch)]
    assert np.mean(copies) < 1.5 * expected_copies(counts, batch)
