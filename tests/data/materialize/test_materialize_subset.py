"""A subset as tars of its own: against a loop over webdataset's samples, resumed, and with what can go wrong."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from datascaler import storage
from datascaler.cli.main import cli
from datascaler.data.materialize import planned_members
from datascaler.data.materialize.materialize_subset import Materialized, materialize_subset
from datascaler.data.materialize.output_shards import output_shards
from datascaler.data.plan.compile_plan import build_plan
from datascaler.data.plan.plan_file import write_plan
from datascaler.data.pool.check import check_pool
from datascaler.data.pool.shards import find_shards
from datascaler.data.pool.uids import uid_array, uid_hex, uid_of
from datascaler.data.subset.subset import read_subset
from datascaler.data.tables.index_tables import index_pool
from datascaler.errors import BadInputError, ConfigError
from tests.data.made_tables import uids_of
from tests.data.planned_pools import identity_is_size
from tests.data.tars import members_of, read_with_webdataset, shard_of

COUNT = 60
UIDS = [uid_of(f"caption {number}", str(number)) for number in range(COUNT)]
ABSENT = uids_of(3)
Sample = tuple[str, tuple[tuple[str, bytes], ...]]
"""uid, and its members by suffix."""


def good(numbers: Sequence[int]) -> list[dict[str, bytes]]:
    return [members_of(number) | {"cls": b"%d" % number} for number in numbers]


def pool_shards() -> list[list[dict[str, bytes]]]:
    """Three shards with a duplicate in a shard, one across shards, and rows that cannot be trained on."""
    bad = members_of(7)
    del bad["png"]
    first = [*good(range(20)), *good([3])]
    second = [bad, *good(range(20, 40)), *good([5])]
    return [first, second, [], good(range(40, COUNT))]


def make_pool(folder: str) -> str:
    for number, samples in enumerate(pool_shards()):
        storage.publish_bytes(f"{folder}/{number:08d}.tar", shard_of(samples))
    return folder


def save(path: Path, uids: Sequence[str]) -> str:
    np.save(path, uid_array(sorted(uids)))
    return str(path)


def wanted_from(pool: str, uids: Sequence[str]) -> Counter[Sample]:
    """By webdataset: the first good row of each uid, as often as the subset has it."""
    times = Counter(uids)
    found: Counter[Sample] = Counter()
    for sample in read_with_webdataset(*sorted(Path(pool).glob("*.tar"))):
        uid = json.loads(sample["json"])["uid"]
        if "png" in sample and times[uid]:
            found[uid, members_in(sample)] += times.pop(uid)
    return found


def members_in(sample: Mapping[str, Any]) -> tuple[tuple[str, bytes], ...]:
    return tuple(sorted((suffix, data) for suffix, data in sample.items() if not suffix.startswith("__")))


def written_to(folder: str) -> Counter[Sample]:
    """The samples by webdataset; keys are the uid and the number of the copy."""
    found: Counter[Sample] = Counter()
    keys = set()
    for sample in read_with_webdataset(*sorted(Path(folder).glob("*.tar"))):
        uid, _, copy = sample["__key__"].partition("-")
        assert uid == json.loads(sample["json"])["uid"]
        keys.add((uid, int(copy)))
        found[uid, members_in(sample)] += 1
    times = Counter(uid for uid, _ in keys)
    assert keys == {(uid, copy) for uid, count in times.items() for copy in range(count)}
    assert sum(times.values()) == sum(found.values())
    return found


SUBSETS = {
    "much": [uid for number, uid in enumerate(UIDS) if number % 3 < 2],
    "repeats": [*UIDS[:50], UIDS[3], UIDS[3], UIDS[39], *UIDS[44:48], UIDS[0]],
    "little": [UIDS[2], UIDS[2], UIDS[19], UIDS[25], UIDS[58]],
    "absent": [*ABSENT, UIDS[7], UIDS[30]],
    "all": UIDS,
}


@pytest.mark.parametrize("name", SUBSETS)
@pytest.mark.parametrize("samples_per_shard", [1, 7, 10_000])
@pytest.mark.parametrize("gap", [0, 1 << 30])
def test_like_a_loop_over_webdataset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, samples_per_shard: int, gap: int
) -> None:
    monkeypatch.setattr(planned_members, "_READ_ALONG_BYTES", gap)
    monkeypatch.setattr("datascaler.data.plan.compile_plan.PLAN_BLOCK_BYTES", 16 << 10)
    pool, subset = make_pool(f"{tmp_path}/pool"), save(tmp_path / "a.npy", SUBSETS[name])
    made = materialize_subset(subset, pool, f"{tmp_path}/out", samples_per_shard=samples_per_shard, num_workers=2)
    expected = wanted_from(pool, SUBSETS[name])
    assert written_to(f"{tmp_path}/out") == expected
    samples = sum(expected.values())
    assert made == Materialized(f"{tmp_path}/out", -(-samples // samples_per_shard), 0, samples, len(SUBSETS[name]))


@pytest.mark.parametrize("seed", range(8))
def test_random_subsets(tmp_path: Path, seed: int) -> None:
    generator = Random(seed)
    pool = make_pool(f"{tmp_path}/pool")
    subset = generator.choices(UIDS + ABSENT, k=generator.choice([3, 20, 100]))
    materialize_subset(
        save(tmp_path / "a.npy", subset), pool, f"{tmp_path}/out", samples_per_shard=generator.randint(1, 30)
    )
    assert written_to(f"{tmp_path}/out") == wanted_from(pool, subset)


def test_the_output_is_a_pool_with_datacomps_tables(tmp_path: Path) -> None:
    pool, subset = make_pool(f"{tmp_path}/pool"), save(tmp_path / "a.npy", SUBSETS["repeats"])
    out = f"{tmp_path}/out"
    made = materialize_subset(subset, pool, out, samples_per_shard=20)
    report = check_pool(out, decode=None)
    assert report.faults == []
    assert (report.shards_found, report.samples, report.duplicate_uids) == (3, made.samples, 8)
    assert uid_hex(read_subset(f"{out}/sample_ids.npy")) == sorted(SUBSETS["repeats"])
    sizes = storage.read_json(f"{out}/sizes.json")
    assert sizes == {"00000000.tar": 20, "00000001.tar": 20, "00000002.tar": made.samples - 40}
    for name, size in sizes.items():
        assert storage.read_json(f"{out}/{name.removesuffix('.tar')}_stats.json")["successes"] == size
    meta = storage.read_json(f"{out}/meta.json")
    assert (meta["output_shard_count"], meta["output_shard_format"]) == (3, "{:08d}.tar")
    assert (meta["samples"], meta["wanted"], meta["subset"]) == (made.samples, 58, subset)


def test_in_object_storage_with_the_plan_that_lies_beside(s3_url: str) -> None:
    pool = make_pool(f"{s3_url}/pool")
    uids = uid_array(sorted(SUBSETS["little"]))
    with storage.publish(f"{s3_url}/a.npy") as file:
        np.save(file, uids)
    index_pool(find_shards(pool), f"{s3_url}/index")
    write_plan(f"{s3_url}/a.plan", build_plan(find_shards(pool), f"{s3_url}/index", uids)[0])
    made = materialize_subset(f"{s3_url}/a.npy", pool, f"{s3_url}/out", samples_per_shard=2)
    assert (made.shards, made.samples) == (3, 5)
    assert check_pool(f"{s3_url}/out").faults == []
    assert not storage.list_folders(f"{s3_url}/out")


def test_a_rerun_writes_what_is_missing_and_nothing_else(tmp_path: Path) -> None:
    pool, subset, out = make_pool(f"{tmp_path}/pool"), save(tmp_path / "a.npy", UIDS), tmp_path / "out"
    materialize_subset(subset, pool, str(out), samples_per_shard=9)
    whole = {path.name: path.read_bytes() for path in out.glob("*.*")}
    times = {path.name: path.stat().st_mtime_ns for path in out.glob("*.tar")}
    for name in ("00000002_stats.json", "00000004.tar", "00000004_stats.json", "meta.json", "sizes.json"):
        (out / name).unlink()
    made = materialize_subset(subset, pool, str(out), samples_per_shard=9)
    assert (made.shards, made.shards_skipped) == (7, 5)
    assert {name: json.loads(content) for name, content in whole.items() if name == "sizes.json"} == {
        "sizes.json": storage.read_json(f"{out}/sizes.json")
    }
    after = {path.name: path.read_bytes() for path in out.glob("*.*")}
    del whole["meta.json"], after["meta.json"]
    assert after == whole
    changed = {path.name for path in out.glob("*.tar") if path.stat().st_mtime_ns != times[path.name]}
    assert changed == {"00000002.tar", "00000004.tar"}


def test_another_subset_is_not_mixed_in(tmp_path: Path) -> None:
    pool, out = make_pool(f"{tmp_path}/pool"), f"{tmp_path}/out"
    first, second = save(tmp_path / "a.npy", UIDS), save(tmp_path / "b.npy", UIDS[10:20])
    materialize_subset(first, pool, out, samples_per_shard=9)
    with pytest.raises(ConfigError, match=r"00000000_stats\.json belongs to a shard made from another subset"):
        materialize_subset(second, pool, out, samples_per_shard=9)
    with pytest.raises(ConfigError, match="belongs to a shard made from another subset or other settings"):
        materialize_subset(first, pool, out, samples_per_shard=8)
    materialize_subset(second, pool, out, samples_per_shard=9, overwrite=True)
    assert written_to(out) == wanted_from(pool, UIDS[10:20])
    (tmp_path / "out/00000002.tar").touch()
    with pytest.raises(ConfigError, match=r"holds 00000002\.tar, but this subset ends with shard 00000001"):
        materialize_subset(second, pool, out, samples_per_shard=9)


def test_shards_end_at_the_limit_of_bytes_too(tmp_path: Path) -> None:
    pool = make_pool(f"{tmp_path}/pool")
    subset = save(tmp_path / "a.npy", SUBSETS["repeats"])
    limit = 25_000
    made = materialize_subset(subset, pool, f"{tmp_path}/out", bytes_per_shard=limit)
    sizes = [path.stat().st_size for path in sorted(Path(f"{tmp_path}/out").glob("*.tar"))]
    assert made.shards == len(sizes) > 3
    # Tars are padded to a multiple of 10 KB.
    assert max(sizes) <= limit + 10_240
    assert min(sizes[:-1]) >= limit - 10_240
    assert written_to(f"{tmp_path}/out") == wanted_from(pool, SUBSETS["repeats"])


def test_which_samples_are_where_follows_from_plan_and_limits(tmp_path: Path) -> None:
    pool = make_pool(f"{tmp_path}/pool")
    index_pool(find_shards(pool), f"{tmp_path}/index")
    plan, _ = build_plan(find_shards(pool), f"{tmp_path}/index", uid_array(sorted(SUBSETS["repeats"])))
    shards = output_shards(plan, 10, 3e9)
    assert [(shard.number, shard.first, shard.last) for shard in shards][:2] == [(0, 0, 10), (1, 10, 20)]
    assert shards[-1].last == plan.samples
    assert shards == output_shards(plan, 10, 3e9)
    assert len({shard.inputs for shard in shards}) == len(shards)
    # A sample that is longer than a shard may be has one of its own.
    assert [shard.last - shard.first for shard in output_shards(plan, 10, 1.0)] == [1] * plan.samples
    other, _ = build_plan(find_shards(pool), f"{tmp_path}/index", uid_array(sorted(SUBSETS["much"])))
    assert not {shard.inputs for shard in shards} & {shard.inputs for shard in output_shards(other, 10, 3e9)}


def logged(pool: str, shift: int = 0) -> str:
    """Write the downloader's logs beside the shards; with a shift they are of other rows."""
    for number, samples in enumerate(pool_shards()):
        uids = [json.loads(sample["json"])["uid"] for sample in samples]
        uids = uids[shift:] + uids[:shift]
        status = ["success"] * len(uids)
        columns = {"uid": pa.array(uids, pa.string()), "status": pa.array(status, pa.string())}
        pq.write_table(pa.table(columns), f"{pool}/{number:08d}.parquet")
    return pool


def test_from_the_logs_beside_the_shards(tmp_path: Path) -> None:
    pool = logged(make_pool(f"{tmp_path}/pool"))
    uids = [uid for uid in SUBSETS["much"] if uid != UIDS[7]]
    materialize_subset(save(tmp_path / "a.npy", uids), pool, f"{tmp_path}/out", samples_per_shard=10)
    assert written_to(f"{tmp_path}/out") == wanted_from(pool, uids)
    assert not Path(f"{tmp_path}/out/index").exists()


def test_logs_of_other_rows_are_found_out(tmp_path: Path) -> None:
    pool = logged(make_pool(f"{tmp_path}/pool"), shift=1)
    with pytest.raises(BadInputError, match=r"row \d+ has uid \w+, which the subset has not"):
        materialize_subset(save(tmp_path / "a.npy", UIDS[:20:4]), pool, f"{tmp_path}/out", samples_per_shard=3)
    assert list(Path(f"{tmp_path}/out").glob("*.tar")) == []


def test_rows_that_a_log_has_in_another_order_are_not_mixed_up(tmp_path: Path) -> None:
    """All of them are of the subset, and one of them is wanted twice."""
    pool = logged(make_pool(f"{tmp_path}/pool"), shift=1)
    with pytest.raises(BadInputError, match=r"row 0 has uid \w+, which the parquet beside the shard lists in another"):
        materialize_subset(save(tmp_path / "a.npy", [*UIDS, UIDS[4]]), pool, f"{tmp_path}/out", samples_per_shard=30)
    assert list(Path(f"{tmp_path}/out").glob("*.tar")) == []


def test_a_sample_that_the_plan_repeats_and_the_subset_does_not_is_found_out(tmp_path: Path) -> None:
    """A table whose uids are of other rows, where nothing but the uids could tell."""
    pool = make_pool(f"{tmp_path}/pool")
    index_pool(find_shards(pool), f"{tmp_path}/index")
    uids = uid_array(sorted([*UIDS[:6], UIDS[2]]))
    plan, _ = build_plan(find_shards(pool), f"{tmp_path}/index", uids)
    plan.arrays["repeat_row"] = plan.arrays["repeat_row"] + 1
    write_plan(f"{tmp_path}/a.plan", plan)
    with pytest.raises(BadInputError, match=r"row 3 has uid \w+, which the subset wants less often than the plan"):
        materialize_subset(
            save(tmp_path / "a.npy", [*UIDS[:6], UIDS[2]]), pool, f"{tmp_path}/out", plan_url=f"{tmp_path}/a.plan"
        )


def test_damage_costs_the_shards_that_it_is_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    identity_is_size(monkeypatch)
    pool, subset, out = make_pool(f"{tmp_path}/pool"), save(tmp_path / "a.npy", UIDS), f"{tmp_path}/out"
    index_pool(find_shards(pool), f"{tmp_path}/index")
    plan, _ = build_plan(find_shards(pool), f"{tmp_path}/index", read_subset(subset))
    write_plan(f"{tmp_path}/a.plan", plan)
    damaged = Path(pool) / "00000001.tar"
    content = bytearray(damaged.read_bytes())
    at = plan.block(1).start + 512 * 4 * 10
    content[at : at + 2048] = b"?" * 2048
    damaged.write_bytes(content)
    with pytest.raises(BadInputError, match=r"of 7 shards were not written, for the pool is not as it was planned"):
        materialize_subset(subset, pool, out, samples_per_shard=9)
    written = {path.name for path in Path(out).glob("*.tar")}
    assert {"00000000.tar", "00000001.tar", "00000006.tar"} <= written < {f"{n:08d}.tar" for n in range(7)}
    assert not Path(f"{out}/meta.json").exists()
    damaged.write_bytes(shard_of(pool_shards()[1]))
    made = materialize_subset(subset, pool, out, samples_per_shard=9)
    assert made.shards_skipped == len(written)
    assert written_to(out) == wanted_from(pool, UIDS)


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, ["subset", "materialize", *words])


def test_in_the_terminal(tmp_path: Path) -> None:
    pool, subset = make_pool(f"{tmp_path}/pool"), save(tmp_path / "a.txt.npy", SUBSETS["absent"])
    result = run(subset, "--data-dir", pool, "--output-dir", f"{tmp_path}/out", "--json")
    assert json.loads(result.stdout) == {
        "output_dir": f"{tmp_path}/out", "shards": 1, "shards_skipped": 0, "samples": 2,
        "coverage": "2 of 5 uids present in this pool",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"output_dir": "{}/pool/"}, "is the pool itself"),
        ({"samples_per_shard": 0}, "samples-per-shard must be at least 1, got 0"),
        ({"num_workers": 0}, "num-workers must be at least 1, got 0"),
        ({"subset_url": "{}/absent.npy"}, "matches nothing in"),
        ({"plan_url": "{}/other.plan"}, r"other\.plan was made for another subset than"),
    ],
)
def test_what_cannot_be_materialized(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    pool = make_pool(f"{tmp_path}/pool")
    save(tmp_path / "a.npy", UIDS)
    save(tmp_path / "absent.npy", ABSENT)
    index_pool(find_shards(pool), f"{tmp_path}/index")
    write_plan(f"{tmp_path}/other.plan", build_plan(find_shards(pool), f"{tmp_path}/index", uid_array(UIDS[:1]))[0])
    asked: dict[str, Any] = {"subset_url": "{}/a.npy", "data_dir": "{}/pool", "output_dir": "{}/out"} | change
    filled: dict[str, Any] = {
        name: each.format(tmp_path) if isinstance(each, str) else each for name, each in asked.items()
    }
    with pytest.raises(ConfigError, match=reason):
        materialize_subset(**filled)
