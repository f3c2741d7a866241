"""Reading a pool of real size in 256 streams: what it holds in memory, and what a resumed run reads again."""

import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from datascaler import storage
from datascaler.data.plan.compile_plan import build_plan
from datascaler.data.plan.plan import Plan, match_shards
from datascaler.data.plan.plan_file import map_plan, write_plan
from datascaler.data.pool.shards import Shard, find_shards
from datascaler.data.pool.uids import uid_of
from datascaler.data.pool.write_tar import TarWriter
from datascaler.data.read.order import MAX_STREAMS, Order
from datascaler.data.read.reader import Reader
from datascaler.data.tables.index_tables import index_pool
from datascaler.train.loading.batches import BatchSource, iterate_batches
from datascaler.train.loading.plan_source import Planned

pytestmark = pytest.mark.slow

SHARD_BYTES = 100 << 20
SHARDS = 170
"""More than 16 blocks of 4 MB for each of 256 streams. All are one file under many names: the reader can't tell."""
IMAGE_BYTES = 33 << 10
BATCH = 512


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[Shard]]]:
    folder = tmp_path_factory.mktemp("large")
    (folder / "pool").mkdir()
    first = folder / "pool" / "000.tar"
    with first.open("wb") as file, TarWriter(file) as tar:
        for number in range(SHARD_BYTES // (IMAGE_BYTES + 2500)):
            uid = uid_of("caption", str(number))
            tar.add_sample(
                f"{number:012d}", {"jpg": padded_jpeg(), "json": f'{{"uid": "{uid}"}}'.encode(), "txt": b"a"}
            )
    for number in range(1, SHARDS):
        os.link(first, folder / "pool" / f"{number:03d}.tar")
    shards = find_shards(str(folder / "pool"))
    index_pool(shards, str(folder / "index"))
    plan, _ = build_plan(shards, str(folder / "index"), None)
    write_plan(str(folder / "all.plan"), plan)
    yield folder / "all.plan", match_shards(plan, shards)
    first.unlink()
    for number in range(1, SHARDS):
        (folder / "pool" / f"{number:03d}.tar").unlink()


def padded_jpeg() -> bytes:
    """A small picture in as many bytes as a pool's have: what is decoded does not matter here, what is held does."""
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32)).save(buffer, "JPEG")
    small = buffer.getvalue()
    padding = IMAGE_BYTES - len(small) - 4
    return small[:2] + b"\xff\xfe" + (padding + 2).to_bytes(2, "big") + bytes(padding) + small[2:]


def test_256_streams_of_one_rank_fit_in_3_gb(pool: tuple[Path, list[Shard]]) -> None:
    plan_path, shards = pool
    assert Order.of(map_plan(plan_path), 0, BATCH).streams == MAX_STREAMS == 256
    source = BatchSource(
        samples=Planned(plan_path=plan_path, shards=shards),
        arch="ViT-B-32",
        image_side=32,
        decode="bicubic",
        storage_client="fsspec",
        seed=0,
        batch_size=BATCH,
        first_draw=0,
        steps=120,
        rank=0,
        world=1,
    )
    most = samples = 0
    for batch in iterate_batches(source, num_workers=2):
        samples += len(batch.images)
        most = max(most, private_bytes())
    assert samples == 120 * BATCH
    assert most <= 3 << 30, f"{most / 2**30:.2f} GB"
    print(f"private memory of the rank and its workers: {most / 2**30:.2f} GB")  # noqa: T201  a figure for the log


def private_bytes() -> int:
    """Of this process and all below it: pages that nobody shares."""
    total = 0
    for pid in [os.getpid(), *children(os.getpid())]:
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue  # it just ended
        total += sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Private_")) * 1024
    return total


def children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            found += [child, *children(child)]
    return found


def test_a_resumed_run_reads_at_most_a_block_of_each_stream_again(
    pool: tuple[Path, list[Shard]], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan_path, shards = pool
    plan = map_plan(plan_path)
    order = Order.of(plan, 0, BATCH)
    reads = 0
    read_local_into = storage.read_local_into

    def counting(url: str, start: int, buffer: memoryview) -> int:
        nonlocal reads
        reads += 1
        return read_local_into(url, start, buffer)

    monkeypatch.setattr(storage, "read_local_into", counting)

    def reads_of(first: int, end: int) -> int:
        nonlocal reads
        reads = 0
        draw_all(plan, shards, order, first, end)
        return reads

    end, middle = 80 * BATCH, 37 * BATCH
    straight = reads_of(0, end)
    resumed = reads_of(0, middle) + reads_of(middle, end)
    assert straight < resumed <= straight + MAX_STREAMS


def draw_all(plan: Plan, shards: list[Shard], order: Order, first: int, end: int) -> None:
    reader = Reader(plan, shards, order, end=end)
    for at in range(first, end, BATCH):
        draws = order.share(at, BATCH, 0, 1)
        reader.start(draws)
        for draw in draws:
            assert len(next(reader.candidates(draw)).image) == IMAGE_BYTES
    reader.close()
