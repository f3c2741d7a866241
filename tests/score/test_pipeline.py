"""The pipeline's parts: workers of both kinds, edits, vectors, what stops it, and what overlaps."""

import io
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from numpy.typing import NDArray

from datascaler import storage
from datascaler.data.pool.samples import BAD_IMAGE, NOT_FINITE, OK, Sample
from datascaler.data.pool.shards import Shard
from datascaler.data.tables.score_table import Footer, read_footer, read_table, vectors_url
from datascaler.errors import ConfigError, StorageError, TryAgainError
from datascaler.models.image_transform import WholeTransform
from datascaler.score import scorer as work_module
from datascaler.score.pipeline.decoders import decoders, result_of
from datascaler.score.pipeline.image_edit import SCORE
from datascaler.score.pipeline.prepare_samples import Preparation, preparation_for
from datascaler.score.pipeline.publisher import FinishedShard, Publisher
from datascaler.score.pipeline.score_batches import ScoredBatch, batches_of, finish_batch, start_batch
from datascaler.score.score_pool import score_pool
from datascaler.tools.prefetch import run_ahead
from tests.score.pools import BAD, content_in, good, make_pool, spec_of
from tests.tiny_clip import tiny_loaded_clip

FOOTER = Footer(shard="a.tar", size=1, etag="e", score_id="s", method="clip")


def samples(count: int) -> list[Sample]:
    rows = [Sample(row=row, key=str(row), offset=0, length=0, uid=(0, row)) for row in range(count)]
    for row in rows:
        row.image, row.caption = good(row.row)["png"], f"caption {'word ' * row.row}"
    return rows


def scored(preparation: Preparation, *, in_processes: bool, notes: Sequence[Any] | None = None) -> list[ScoredBatch]:
    clip = tiny_loaded_clip()
    with decoders(preparation, 2, in_processes=in_processes) as workers:
        batches = list(batches_of(samples(70), notes, 40, workers))
        parts = [[result_of(part) for part in batch] for batch in batches]
    return [finish_batch(start_batch(clip, batch, keep_vectors=True)) for batch in parts]


def test_worker_processes_do_what_threads_do() -> None:
    ways = [scored(preparation_for(tiny_loaded_clip()), in_processes=each) for each in (False, True)]
    for threads, processes in zip(*ways, strict=True):
        assert threads.scores == processes.scores
        assert threads.samples == processes.samples
        assert all(row.image == b"" and row.caption == "" for row in processes.samples)
        assert threads.vectors is not None
        assert processes.vectors is not None
        assert all(np.array_equal(one, other) for one, other in zip(threads.vectors, processes.vectors, strict=True))
    assert [len(batch.samples) for batch in ways[0]] == [40, 30]


@dataclass(frozen=True)
class Killed:
    """An edit that a worker process does not survive."""

    columns = pa.schema([])
    settings: Mapping[str, Any] = ()  # type: ignore[assignment]

    def notes(self, _: Shard) -> None:
        return None

    def known(self, sample: Sample, note: object) -> None:  # noqa: ARG002
        os.kill(os.getpid(), signal.SIGKILL)

    def __call__(self, sample: Sample, pixels: NDArray[np.uint8], note: object) -> Any: ...


def test_a_worker_that_is_killed_is_a_reason_to_try_again() -> None:
    with pytest.raises(TryAgainError, match=r"a decode worker was killed.*lower --num-workers"):
        scored(preparation_for(tiny_loaded_clip(), Killed()), in_processes=True)
    with decoders(preparation_for(tiny_loaded_clip(), Killed()), 2, in_processes=True) as workers:
        with pytest.raises(TryAgainError, match="a decode worker was killed"):
            result_of(workers.prepare(samples(1), None))
        with pytest.raises(TryAgainError, match="a decode worker was killed"):
            workers.prepare(samples(1), None)


def test_a_transform_of_unknown_steps_gives_the_same_scores() -> None:
    clip = tiny_loaded_clip()
    split = scored(preparation_for(clip), in_processes=False)
    whole = replace(clip, preprocess=lambda image: clip.preprocess(image))
    assert isinstance(whole.transform, WholeTransform)
    with decoders(preparation_for(whole), 2, in_processes=False) as workers:
        (batch,) = batches_of(samples(40), None, 40, workers)
        again = finish_batch(start_batch(whole, [result_of(part) for part in batch]))
    assert again.scores == pytest.approx(split[0].scores, abs=1e-6)


@dataclass(frozen=True)
class Halve:
    """Darkens pictures; knows the score of row 1, sees no picture of row 2, fails row 3, says nothing of row 4."""

    @property
    def columns(self) -> pa.Schema:
        return pa.schema([("area", pa.float32()), ("boxes", pa.list_(pa.list_(pa.float32())))])

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"factor": 0.5}

    def notes(self, _: Shard) -> list[float]:
        return [0.1 * row for row in range(10)]

    def known(self, sample: Sample, note: float) -> Mapping[str, Any] | None:
        return {SCORE: note, "area": 0.0, "boxes": []} if sample.row == 1 else None

    def __call__(
        self, sample: Sample, pixels: NDArray[np.uint8], note: float
    ) -> tuple[NDArray[np.uint8] | None, Mapping[str, Any]]:
        if sample.row == 2:
            return None, {SCORE: note, "area": 1.0}
        if sample.row == 3:
            sample.status = "no luck"
            return None, {"area": 5.0}
        if sample.row == 4:
            return None, {}
        return pixels // 2, {"area": 0.5, "boxes": [[1.0, 2.0]]}


def test_an_edit_changes_pictures_and_adds_columns(
    tmp_path: Path, pool: str, local_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = score_pool(spec_of(pool, tmp_path / "plain", local_dir))
    monkeypatch.setattr(work_module, "choose_edit", lambda *_: Halve())
    edited = score_pool(spec_of(pool, tmp_path / "edited", local_dir, save_embeddings=True))
    url = f"{edited.tables}/shards/00000000.parquet"
    table, footer = read_table(url, ["status", "score", "area", "boxes"])
    assert footer.settings == {"factor": 0.5}
    assert footer.precision == "float32"
    rows = table.to_pylist()
    before = read_table(f"{plain.tables}/shards/00000000.parquet", ["score"])[0]["score"].to_pylist()
    assert [row["status"] for row in rows] == [OK, OK, OK, "no luck", NOT_FINITE, OK, OK]
    assert [row["area"] for row in rows] == [0.5, 0.0, 1.0, None, None, 0.5, 0.5]
    assert [row["boxes"] for row in rows[:3]] == [[[1.0, 2.0]], [], None]
    assert [row["score"] for row in rows[1:3]] == pytest.approx([0.1, 0.2])
    assert rows[0]["score"] != before[0]
    assert rows[0]["score"] == pytest.approx(before[0], abs=0.5)
    with np.load(io.BytesIO(storage.read_bytes(vectors_url(url)))) as vectors:
        assert np.flatnonzero(vectors["img"].any(axis=1)).tolist() == [0, 5, 6]
    bad, _ = read_table(f"{edited.tables}/shards/00000001.parquet", ["status", "area"])
    assert bad["status"].to_pylist()[1:7] == list(BAD)
    assert bad["area"].to_pylist() == [0.5, *([None] * 6), 0.5]


def test_vectors_are_kept_beside_the_table(s3_url: str, local_dir: str) -> None:
    pool, out = make_pool(f"{s3_url}/pool"), f"{s3_url}/out"
    first = score_pool(spec_of(pool, out, local_dir))
    before = content_in(first)
    # Tables without vectors are done again, and stay as they are.
    again = score_pool(spec_of(pool, out, local_dir, save_embeddings=True))
    assert (again.skipped, content_in(again)) == (0, before)
    assert score_pool(spec_of(pool, out, local_dir, save_embeddings=True)).skipped == 5
    for shard, rows in {"00000000": 7, "00000001": 8, "00000002": 0}.items():
        url = f"{first.tables}/shards/{shard}.parquet"
        table, _ = read_table(url, ["status", "score"])
        with np.load(io.BytesIO(storage.read_bytes(vectors_url(url)))) as vectors:
            image, text = (vectors[name].astype(np.float32) for name in ("img", "txt"))
            assert vectors["img"].dtype == np.float16
        assert image.shape == text.shape == (rows, 32)
        good_rows = np.array([status == OK for status in table["status"].to_pylist()], bool)
        assert not image[~good_rows].any()
        assert not text[~good_rows].any()
        assert np.linalg.norm(image[good_rows], axis=1) == pytest.approx(1, abs=1e-3)
        cosines = (image * text).sum(axis=1)[good_rows]
        assert cosines == pytest.approx(table["score"].to_numpy()[good_rows], abs=2e-3)


def test_the_summary_and_the_footers_say_how_long_it_took(tmp_path: Path, pool: str, local_dir: str) -> None:
    summary = score_pool(spec_of(pool, tmp_path, local_dir))
    assert summary.seconds > 0
    assert summary.samples_per_second == pytest.approx(21 / summary.seconds, rel=0.01, abs=0.1)
    footer = read_footer(f"{summary.tables}/shards/00000000.parquet")
    assert 0 < footer.seconds <= summary.seconds
    assert footer.finished
    assert score_pool(spec_of(pool, tmp_path, local_dir)).samples_per_second == 0


def test_too_little_memory_names_the_batch_size(monkeypatch: pytest.MonkeyPatch) -> None:
    clip = tiny_loaded_clip()

    def fail(_: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(clip.model, "encode_image", fail)
    with pytest.raises(ConfigError, match=r"tiny with 3 samples at a time .* lower --batch-size"):
        clip.embed_images(torch.zeros(3, 3, 32, 32))


@pytest.mark.slow
def test_a_compiled_network_gives_the_same_vectors() -> None:
    clip = tiny_loaded_clip()
    compiled = clip.compile()
    tokens = clip.tokenize(["a", "a longer caption than that", "b", "the longest of " + "all " * 99])
    assert torch.allclose(compiled.embed_texts(tokens), clip.embed_texts(tokens), atol=1e-5)
    images = torch.randn(4, 3, 32, 32)
    assert torch.allclose(compiled.embed_images(images), clip.embed_images(images), atol=1e-5)


def test_running_ahead_keeps_order_raises_and_stops() -> None:
    assert list(run_ahead(range(100), 3)) == list(range(100))
    made: list[int] = []
    ended = threading.Event()

    def numbers() -> Iterator[int]:
        try:
            for number in range(1000):
                made.append(number)
                yield number
        finally:
            ended.set()

    items = run_ahead(numbers(), 2)
    assert next(items) == 0
    items.close()
    assert ended.wait(10)
    assert len(made) <= 5

    def fails() -> Iterator[int]:
        yield 1
        raise StorageError("no more")

    items = run_ahead(fails(), 2)
    assert next(items) == 1
    with pytest.raises(StorageError, match="no more"):
        next(items)


def shard_to_publish(url: str, **change: Any) -> FinishedShard:
    row = Sample(row=0, key="k", offset=0, length=0, status=BAD_IMAGE)
    batch = ScoredBatch([row], [float("nan")], [{}], None)
    shard = FinishedShard(url=url, footer=FOOTER, batches=[batch], columns=pa.schema([]), width=None, overwrite=False)
    return replace(shard, **change)


def test_what_is_complete_is_published_though_the_work_stops(tmp_path: Path) -> None:
    counted: list[Footer] = []
    with pytest.raises(KeyboardInterrupt), Publisher(counted.append) as publisher:
        publisher.submit(shard_to_publish(f"{tmp_path}/a.parquet"))
        raise KeyboardInterrupt
    assert read_footer(f"{tmp_path}/a.parquet").rows == 1


def test_an_error_of_the_publisher_comes_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StorageError, match="file/a"), Publisher(lambda _: None) as publisher:
        publisher.submit(shard_to_publish(f"{tmp_path}/file/a.parquet"))
    with pytest.raises(StorageError, match="file/a"), Publisher(lambda _: None) as publisher:
        for _ in range(4):
            publisher.submit(shard_to_publish(f"{tmp_path}/file/a.parquet"))
