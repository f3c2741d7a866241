"""Scoring on an accelerator: the CPU's scores but for the precision, and nothing that waits for the device."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from datascaler import storage
from datascaler.data.tables.score_table import read_footer, read_table, vectors_url
from datascaler.models.load import load_clip
from datascaler.models.loaded import LoadedClip
from datascaler.score.device_processes import accelerators, score_in_processes
from datascaler.score.embeddings.vectors import log_sums, nearest, unit
from datascaler.score.pipeline.prepare_samples import Prepared, preparation_for
from datascaler.score.pipeline.score_batches import finish_batch, start_batch
from datascaler.score.score_pool import score_pool
from datascaler.score.verify_scores import REDUCED_TOLERANCE, verify_scores
from tests.score.pools import GOOD, plain_scores, spec_of, tables_in
from tests.score.test_pipeline import samples

pytestmark = pytest.mark.gpu


def prepared(clip: LoadedClip, count: int) -> Prepared:
    return preparation_for(clip)(samples(count))


@contextmanager
def waiting_is_an_error() -> Iterator[None]:
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_scores_are_those_of_open_clip_on_the_cpu(tmp_path: Path, pool: str, local_dir: str) -> None:
    summary = score_pool(spec_of(pool, tmp_path / "out", local_dir, save_embeddings=True))
    plain = plain_scores(local_dir, [number for rows in GOOD.values() for number in rows.values()])
    for shard, rows in GOOD.items():
        url = f"{summary.tables}/shards/{shard}.parquet"
        assert read_footer(url).precision in ("bfloat16", "float16")
        scores = read_table(url, ["score"])[0]["score"].to_pylist()
        for row, number in rows.items():
            assert scores[row] == pytest.approx(plain[number], abs=REDUCED_TOLERANCE)
        with np.load(io.BytesIO(storage.read_bytes(vectors_url(url)))) as vectors:
            cosines = (vectors["img"].astype(np.float32) * vectors["txt"]).sum(axis=1)
        assert cosines[list(rows)] == pytest.approx([scores[row] for row in rows], abs=2e-3)
    verified = verify_scores(spec_of(pool, tmp_path / "out", local_dir), 20)
    assert verified.rows == 20


def test_a_batch_is_handed_over_without_waiting_for_the_device(local_dir: str) -> None:
    clip = load_clip(local_dir, None)
    parts = [prepared(clip, 40), prepared(clip, 30)]
    # What is made once, kernels and constants among them.
    expected = finish_batch(start_batch(clip, parts, keep_vectors=True)).scores
    with waiting_is_an_error():
        started = [start_batch(clip, parts, keep_vectors=True) for _ in range(3)]
    for batch in started:
        assert finish_batch(batch).scores == pytest.approx(expected, abs=1e-6)


def test_results_come_while_later_work_is_in_hand(local_dir: str) -> None:
    clip = load_clip(local_dir, None)
    first = start_batch(clip, [prepared(clip, 8)])
    torch.cuda._sleep(4_000_000_000)  # type: ignore[no-untyped-call]  # clock cycles: seconds
    later = torch.cuda.Event()  # type: ignore[no-untyped-call]
    later.record()
    finish_batch(first)
    assert not later.query()  # type: ignore[no-untyped-call]
    torch.cuda.synchronize()


def test_a_compiled_network_gives_the_same_scores(local_dir: str) -> None:
    clip = load_clip(local_dir, None)
    parts = [prepared(clip, 40)]
    expected = finish_batch(start_batch(clip, parts)).scores
    compiled = clip.compile()
    for count in (40, 25, 7):
        parts = [prepared(clip, count)]
        assert finish_batch(start_batch(compiled, parts)).scores == pytest.approx(expected[:count], abs=1e-2)


def test_a_process_for_each_accelerator(
    tmp_path: Path, pool: str, local_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert accelerators() == torch.cuda.device_count()
    alone = score_pool(spec_of(pool, tmp_path / "one", local_dir))
    # As if there were two.
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,0")
    together = score_in_processes(spec_of(pool, tmp_path / "two", local_dir), 2)
    assert (together.rows, together.ok, together.bad) == (alone.rows, alone.ok, alone.bad)
    assert tables_in(together).keys() == tables_in(alone).keys()


def test_text_masking(tmp_path: Path, pool: str, local_dir: str) -> None:
    plain = score_pool(spec_of(pool, tmp_path, local_dir))
    masked = score_pool(spec_of(pool, tmp_path, local_dir, method="tmars"))
    assert (masked.rows, masked.ok) == (plain.rows, plain.ok)


def test_filters_of_embeddings_compute_what_the_cpu_does() -> None:
    torch.manual_seed(0)
    images, texts = unit(torch.randn(3000, 64)), unit(torch.randn(9000, 64))
    on_cpu, on_device = log_sums(images, texts, 0.07), log_sums(images.cuda(), texts.cuda(), 0.07)
    assert torch.allclose(on_device.cpu(), on_cpu, atol=1e-4)
    products, which = nearest(images, texts[:500])
    products_there, which_there = nearest(images.cuda(), texts[:500].cuda())
    assert torch.allclose(products_there.cpu(), products, atol=1e-5)
    assert (which_there.cpu() == which).float().mean() > 0.999
