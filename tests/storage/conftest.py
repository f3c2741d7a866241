"""Fixtures: both clients of an object store, and a store whose requests can be spoilt."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
import s3fs

from datascaler import storage
from datascaler.storage import obstore_url, retry
from tests.s3_server import S3Server
from tests.storage.faulty_proxy import Faults, faulty_proxy


@pytest.fixture(params=["fsspec", "obstore"])
def client(request: pytest.FixtureRequest) -> Iterator[str]:
    """The client that reads; fsspec's again after the test."""
    storage.use_client(request.param)
    yield request.param
    storage.use_client("fsspec")


@pytest.fixture
def short_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """For stores that are reached from now on: too short for a busy machine, unless failures are waited out."""
    monkeypatch.setattr(s3fs.S3FileSystem, "read_timeout", 0.4)
    monkeypatch.setitem(obstore_url._CLIENT_OPTIONS, "read_timeout", timedelta(seconds=0.4))


@pytest.fixture
def faults(s3_server: S3Server, s3_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    """What goes wrong with requests to `s3_url` from now on. Single tries and short pauses keep the tests quick."""
    assert s3_url.startswith("s3://")  # its environment is what is changed here
    with faulty_proxy(s3_server.endpoint) as (endpoint, faults):
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        monkeypatch.setattr(retry, "_FIRST_PAUSE_SECONDS", 0.01)
        monkeypatch.setitem(obstore_url._RETRIES, "max_retries", 0)
        s3fs.S3FileSystem.clear_instance_cache()
        yield faults
