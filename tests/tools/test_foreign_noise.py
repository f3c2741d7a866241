"""What other libraries say that helps nobody: said by the libraries themselves, and left out or told in one line."""

import logging
import warnings
from typing import Any

import pytest
from huggingface_hub.utils._http import http_backoff
from torch.distributed.run import config_from_args, parse_args
from torch.utils.data import DataLoader

from datascaler.tools.foreign_noise import said_once, without_warning

_NUMBERS: Any = [1]
RETRIES = ("huggingface_hub.utils._http", "thrown while requesting|Retrying in|Rate limited")


def test_more_loader_workers_than_cores_are_no_warning() -> None:
    with pytest.warns(UserWarning, match="This DataLoader will create"):
        DataLoader(_NUMBERS, num_workers=4096)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with without_warning("This DataLoader will create"):
            DataLoader(_NUMBERS, num_workers=4096)
        warnings.warn("something else", UserWarning, stacklevel=1)
    assert [str(each.message) for each in said] == ["something else"]


def test_torchruns_words_on_threads_are_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    options = parse_args(["--standalone", "--nproc-per-node", "2", "-m", "x"])  # type: ignore[no-untyped-call]
    for is_said in (True, False):
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        caplog.clear()
        if is_said:
            config_from_args(options)
        else:
            with said_once("torch.distributed.run", "OMP_NUM_THREADS"):
                config_from_args(options)
        assert ("OMP_NUM_THREADS" in caplog.text) is is_said


def test_the_hubs_retries_are_one_line(caplog: pytest.LogCaptureFixture) -> None:
    for lines in (7, 1):
        caplog.clear()
        with pytest.MonkeyPatch.context() as patch, pytest.raises(Exception, match=r"(?i)refused|connect"):
            patch.setattr(logging.getLogger("huggingface_hub"), "propagate", True)
            with said_once(*RETRIES, "the hub does not answer") if lines == 1 else said_once("nobody", ""):
                http_backoff("GET", "http://127.0.0.1:9/x", max_retries=3, base_wait_time=0)
        assert len(caplog.messages) == lines
    assert caplog.messages == ["the hub does not answer"]
    # Afterwards all is as it was.
    logging.getLogger(RETRIES[0]).warning("Retrying in 1s")
    assert not logging.getLogger(RETRIES[0]).filters
