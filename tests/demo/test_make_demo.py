"""The demo's line in miniature, on the S3 server; `make demo` runs it at its real size."""

import signal
from multiprocessing import active_children
from pathlib import Path

import pytest

from datascaler import storage
from datascaler.demo.make_data import Recipe
from datascaler.demo.make_demo import run_demo, two_workers
from tests.demo.miniature import SIZE

MINIATURE = Recipe(**SIZE)


def test_the_demo_runs_on_object_storage_and_goes_on_where_it_was(s3_url: str) -> None:
    said: list[str] = []
    result = run_demo(s3_url, MINIATURE, said.append)
    assert (result.pool_samples, result.bad_samples, result.kept_samples) == (200, 8, 80)
    assert result.samples_seen == 96
    # As at commit d95420f: a filter of three steps orders the pool in one way only.
    assert result.filter_auc == pytest.approx(0.5359375, abs=2e-3)
    assert result.filter_precision == 0.4
    assert len(result.accuracies_subset) == len(result.accuracies_random) == 1
    assert all(storage.read_bytes(url).startswith(b"\x89PNG") for url in result.pictures)
    page = storage.read_text(result.report)
    assert result.report == f"{s3_url}/report.html"
    assert all(title in page for title in ("The answer", "Pool and filter", "Training", "Evaluation"))
    assert page.count("data:image/jpeg") >= 24
    assert [line[:5] for line in said] == [f"[{step}/6]" for step in range(1, 7)]

    checkpoints = set(storage.list_files(s3_url, ".pt", recursive=True))
    again = run_demo(s3_url, MINIATURE)
    assert (again.filter_auc, again.accuracies_subset) == (result.filter_auc, result.accuracies_subset)
    assert set(storage.list_files(s3_url, ".pt", recursive=True)) == checkpoints


def test_no_worker_hears_ctrl_c_while_it_still_imports() -> None:
    with pytest.raises(KeyboardInterrupt), two_workers():
        statuses = [Path(f"/proc/{child.pid}/status").read_text().splitlines() for child in active_children()]
        (blocked,) = {line for status in statuses for line in status if line.startswith("SigBlk")}
        assert len(statuses) == 2
        assert int(blocked.split()[1], 16) & 1 << signal.SIGINT - 1
        raise KeyboardInterrupt
