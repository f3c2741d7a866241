"""Fixtures that every test may use."""

import uuid
from collections.abc import Iterator

import pytest
import s3fs

from tests.s3_server import BUCKET, S3Server, start_s3_server


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server, one for the session."""
    server = start_s3_server(tmp_path_factory.mktemp("s3"))
    yield server
    server.stop()


@pytest.fixture
def s3_url(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a fresh folder, with the environment that reaches it."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    # fsspec keeps filesystems by their arguments, not by the environment that they were made in.
    s3fs.S3FileSystem.clear_instance_cache()
    return f"s3://{BUCKET}/{uuid.uuid4().hex}"


@pytest.fixture
def no_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Object stores are reached at a port where nobody listens, and are not waited for."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("DATASCALER_RETRY_SECONDS", "0")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")  # botocore's own five take seconds
    # A client that an earlier test made would reach that test's server, whose answers would count as this endpoint's.
    s3fs.S3FileSystem.clear_instance_cache()
    yield
    s3fs.S3FileSystem.clear_instance_cache()
