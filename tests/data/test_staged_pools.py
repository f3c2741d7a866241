"""A pool that is staged on a node, copied anew, linked or spelled otherwise is the same pool; another one is not."""

import json
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from datascaler import storage
from datascaler.data.plan.compile_plan import build_plan
from datascaler.data.plan.known_plan import plan_beside, tables_of_recipe
from datascaler.data.plan.make_plan import cached_plan
from datascaler.data.plan.plan import is_of_pool, match_shards
from datascaler.data.plan.plan_file import open_plan, write_plan
from datascaler.data.plan.shard_rows import rows_of_table
from datascaler.data.pool.shards import Shard, find_shards, pool_digest, same_content
from datascaler.data.pool.uids import uid_pairs
from datascaler.data.read.stream_shard import stream_shard
from datascaler.data.subset.subset import read_subset, write_subset
from datascaler.data.tables.index_tables import index_part
from datascaler.data.tables.score_table import read_footer
from datascaler.errors import BadInputError, ConfigError
from datascaler.score.score_pool import score_pool
from datascaler.spec.score_captions import CaptionSpec
from tests.data.tars import shard_of

SHARDS = 3
STORES = [("local", "local"), ("s3", "local"), ("local", "s3")]


def make_pool(url: str) -> str:
    """Shards larger than what their digest looks at, so that it is of samples."""
    rng = random.Random(4)
    for number in range(SHARDS):
        samples = [sample(rng) for _ in range(5)]
        storage.publish_bytes(f"{url}/shards/{number:08d}.tar", shard_of(samples))
    return url


def sample(rng: random.Random) -> dict[str, bytes]:
    record = {"uid": rng.randbytes(16).hex(), "original_width": 300, "original_height": 300}
    return {"jpg": rng.randbytes(40_000), "txt": b"a picture of a dog", "json": json.dumps(record).encode()}


def stage(pool: str, copy: str) -> str:
    """As a job does: byte for byte, at another time."""
    for shard in find_shards(pool):
        content = storage.read_bytes(shard.url)
        storage.publish_bytes(f"{copy}/{shard.name}", content)
        if storage.is_local(copy):
            os.utime(f"{copy}/{shard.name}", (1, 1))
    return copy


@pytest.fixture(params=STORES, ids="-to-".join)
def places(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str, str]:
    """A pool, where its copy goes, and an output folder that both can see."""
    roots = [
        str(request.getfixturevalue("s3_url") if store == "s3" else tmp_path / name)
        for store, name in zip(request.param, ("first", "second"), strict=True)
    ]
    return make_pool(f"{roots[0]}/pool"), f"{roots[1]}/copy/of/it", f"{tmp_path}/out"


def captions(pool: str, out: str, index: int = 0, count: int = 1) -> int:
    """Score a part by captions; how many shards were scored before."""
    spec = CaptionSpec(data_dir=pool, output_dir=out, method="basic", no_language=True, score_name="basic-x")
    return score_pool(replace(spec, index=index, count=count)).skipped


def test_scoring_and_indexing_go_on_with_a_copy(places: tuple[str, str, str]) -> None:
    pool, copy, out = places
    index_part(pool, out, index=0, count=2)
    captions(pool, out, index=0, count=2)
    stage(pool, copy)
    assert index_part(copy, out, index=1, count=2).skipped == 0
    assert captions(copy, out, index=1, count=2) == 0
    for each in (copy, pool, f"{copy}/"):
        assert index_part(each, out).skipped == captions(each, out) == SHARDS


def test_a_plan_serves_a_copy(places: tuple[str, str, str]) -> None:
    pool, copy, out = places
    shards = find_shards(pool)
    tables = index_part(pool, out).tables
    stage(pool, copy)
    copied = find_shards(copy)
    said: list[str] = []
    url = cached_plan(out, shards, None, say=said.append)
    plan = open_plan(url)
    assert [shard.url for shard in match_shards(plan, copied)] == [shard.url for shard in copied]
    # Neither the plan nor the index is made anew, wherever the run goes on.
    assert cached_plan(out, copied, None, say=said.append) == url
    storage.remove(url)
    anew = open_plan(cached_plan(out, copied, None, say=said.append))
    assert anew.order_digest == plan.order_digest
    assert said == [f"plan      made from the index tables in {tables}"] * 2


def test_a_subset_serves_a_copy(places: tuple[str, str, str]) -> None:
    pool, copy, out = places
    shards = find_shards(pool)
    captions(pool, out)
    tables = f"{out}/scores/basic-x"
    uids = read_subset_of(tables, shards, f"{out}/subsets/some")
    write_plan(f"{out}/subsets/some.plan", build_plan(shards, tables, uids)[0])
    copied = find_shards(stage(pool, copy))
    assert plan_beside(f"{out}/subsets/some.npy", uids, copied)
    assert tables_of_recipe(f"{out}/subsets/some.npy", copied) == tables
    storage.remove(copied[0].url)
    assert plan_beside(f"{out}/subsets/some.npy", uids, copied[1:]) is None


def read_subset_of(tables: str, shards: list[Shard], base: str) -> NDArray[np.void]:
    """A subset of three samples, by these tables."""
    rows = rows_of_table(tables, shards[1])
    recipe = {"tables": tables, "pool_digest": pool_digest(shards)}
    write_subset(base, uid_pairs(rows.high[:3], rows.low[:3]), recipe, ["npy"])
    return read_subset(f"{base}.npy")


def flip(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


CHANGES: tuple[Callable[[bytes], bytes], ...] = (
    lambda content: flip(content, 700),
    lambda content: flip(content, len(content) - 700),
    lambda content: content + bytes(512),
    lambda content: content[:-512],
)


def test_a_copy_that_differs_is_refused(places: tuple[str, str, str]) -> None:
    pool, copy, out = places
    index_part(pool, out)
    plan = open_plan(cached_plan(out, find_shards(pool), None))
    url = f"{stage(pool, copy)}/shards/00000001.tar"
    content = storage.read_bytes(url)
    for change in CHANGES:
        storage.publish_bytes(url, change(content))
        with pytest.raises(ConfigError, match=r"00000001\.tar.*use an?(other| new) --output-dir"):
            index_part(copy, out)
        changed = find_shards(copy)
        with pytest.raises(ConfigError, match=r"00000001\.tar is not the one that the plan was made from"):
            match_shards(plan, changed)
        assert not is_of_pool(plan, changed)
    # What is known of the other pool does no harm.
    assert cached_plan(out, changed, None).partition("/plans/")[2].startswith(pool_digest(changed))
    storage.publish_bytes(url, content)
    assert index_part(copy, out).skipped == SHARDS


def test_a_node_may_stage_its_part_only(places: tuple[str, str, str]) -> None:
    pool, copy, out = places
    index_part(pool, out, index=0, count=3)
    stage(pool, copy)
    for number in (0, 1):
        storage.remove(f"{copy}/shards/{number:08d}.tar")
    assert index_part(copy, out, index=2, count=3).ok == 5
    with pytest.raises(BadInputError, match=r"1 of 1 shards are gone.*copy/of/it/shards/00000001\.tar"):
        index_part(copy, out, index=1, count=3)


def test_the_spelling_of_a_path_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool, out = make_pool(str(tmp_path / "pool")), str(tmp_path / "out")
    monkeypatch.chdir(tmp_path)
    index_part("pool", out)
    Path("linked").symlink_to("pool")
    Path("hard").mkdir()
    shutil.copytree("pool", "hard/links", copy_function=os.link)
    shutil.copytree("pool", "renamed")
    for spelled in ("./pool", pool, f"file://{pool}", "linked", "pool/../pool", "hard/links", "renamed"):
        assert index_part(spelled, out).skipped == SHARDS, spelled
    shutil.rmtree("pool")
    assert index_part("renamed", out).skipped == SHARDS


def test_what_reads_a_remote_shard_records_its_content(s3_url: str, tmp_path: Path) -> None:
    """The same digest as a copy's, with no request more than the end of the tar takes."""
    pool, out = make_pool(f"{s3_url}/pool"), f"{tmp_path}/out"
    tables = index_part(pool, out).tables
    captions(pool, out)
    local = find_shards(stage(pool, f"{tmp_path}/copy"))
    for shard, copied in zip(find_shards(pool), local, strict=True):
        told: list[str] = []
        list(stream_shard(shard, block_bytes=30_000, on_digest=told.append))
        assert told == [copied.etag] == [storage.content_digest(shard.url, shard.size)]
        for folder in (tables, f"{out}/scores/basic-x"):
            footer = read_footer(f"{folder}/{shard.name.removesuffix('.tar')}.parquet")
            assert (footer.etag, footer.digest) == (shard.etag, copied.etag)
    # A local shard has it for an etag, and nothing is written twice.
    local_tables = index_part(f"{tmp_path}/copy", f"{tmp_path}/other").tables
    assert read_footer(f"{local_tables}/shards/00000000.parquet").digest == ""


def test_a_remote_list_needs_its_store_where_nobody_has_read_it(s3_url: str, tmp_path: Path) -> None:
    pool, out = make_pool(f"{s3_url}/pool"), f"{tmp_path}/out"
    index_part(pool, out, index=0, count=3)
    copy = stage(pool, f"{tmp_path}/copy")
    storage.remove(f"{pool}/shards/00000001.tar")
    with pytest.raises(ConfigError, match=r"is a copy of .*00000001\.tar can't be seen.*use a new --output-dir"):
        index_part(copy, out, index=1, count=3)


def test_random_pairs_agree_with_their_bytes(tmp_path: Path) -> None:
    """Against an oracle that compares the whole contents: copies are the same, other contents never."""
    rng = random.Random(11)
    contents = [rng.randbytes(rng.choice([0, 1, 5_000, 200_000])) for _ in range(6)]
    shards = []
    for number in range(40):
        path = tmp_path / f"{number}.tar"
        content = rng.choice(contents)
        if content and rng.random() < 0.3:
            content = flip(content, rng.choice([0, len(content) - 1, min(len(content) - 1, 32_000)]))
        path.write_bytes(content)
        os.utime(path, (rng.random() * 1e9,) * 2)
        info = storage.identify(str(path))
        forms = [Shard(str(path), "x", info.size, info.etag), Shard("s3://x", "x", info.size, f"e-{number}", info.etag)]
        shards.append((content, rng.choice(forms)))
    for content, shard in shards:
        for other_content, other in shards:
            assert same_content(shard, other) is (content == other_content)
    assert same_content(Shard("", "x", 5, "0" * 32, "sample-1"), Shard("", "x", 5, "1" * 32, "sample-1")) is False
    assert same_content(Shard("", "x", 5, "a"), Shard("", "x", 5, "b")) is None
    assert same_content(Shard("", "x", 5, "a"), Shard("", "x", 6, "a")) is False
