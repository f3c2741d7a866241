"""The fast client: reached by the same environment as the other, with the same errors, and safe in child processes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import s3fs

from datascaler import storage
from datascaler.errors import ConfigError, StorageError
from datascaler.storage import client as client_module
from datascaler.storage.obstore_url import obstore_of, s3_config
from tests.s3_server import S3Server

DIGITS = b"012345678901234567890123456789"


def test_a_bucket_that_is_not_there(s3_url: str, client: str) -> None:
    assert client
    missing = s3_url.replace("s3://", "s3://missing-")
    with pytest.raises((StorageError, ConfigError), match=f"{missing}/file"):  # a HEAD's answer has no reason
        storage.open_read(f"{missing}/file")
    with pytest.raises(ConfigError, match=f"the bucket of {missing}/file does not exist"):
        storage.read_ranges(f"{missing}/file", [(0, 5)])


def test_keys_that_are_refused(s3_url: str, client: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert client
    s3fs.S3FileSystem.clear_instance_cache()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")
    with pytest.raises(StorageError, match=r"access denied \(.*\); check the credentials"):
        storage.read_ranges(f"{s3_url}/file", [(0, 5)])


def test_no_keys_at_all(s3_url: str, client: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert client
    s3fs.S3FileSystem.clear_instance_cache()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(StorageError, match="credentials"):
        storage.read_ranges(f"{s3_url}/file", [(0, 5)])


def test_keys_and_endpoint_of_a_profile(
    s3_url: str, s3_server: S3Server, client: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert client
    storage.publish_bytes(f"{s3_url}/file", DIGITS)
    for name in s3_server.environment:
        monkeypatch.delenv(name)
    keys = f"aws_access_key_id={s3_server.access_key}\naws_secret_access_key={s3_server.secret_key}\n"
    (tmp_path / "config").write_text(f"[profile lab]\n{keys}region=us-east-1\nendpoint_url={s3_server.endpoint}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "lab")
    s3fs.S3FileSystem.clear_instance_cache()
    assert storage.read_ranges(f"{s3_url}/file", [(0, 3), (5, 7)]) == [b"012", b"56"]


@pytest.mark.parametrize(
    ("bucket", "endpoint", "style", "expected"),
    [
        ("pool", "https://s3.us-west-2.amazonaws.com", "auto", ("https://pool.s3.us-west-2.amazonaws.com", True)),
        ("my.pool", "https://s3.us-west-2.amazonaws.com", "auto", ("https://s3.us-west-2.amazonaws.com", False)),
        ("pool", "https://s3.us-west-2.amazonaws.com", "path", ("https://s3.us-west-2.amazonaws.com", False)),
        ("pool", "http://minio:9000", "auto", ("http://minio:9000", False)),
        ("pool", "http://minio:9000", "virtual", ("http://pool.minio:9000", True)),
    ],
)
def test_addresses(bucket: str, endpoint: str, style: str, expected: tuple[str, bool]) -> None:
    config, options = s3_config(bucket, endpoint, "us-west-2", style)
    assert (config["endpoint"], config["virtual_hosted_style_request"]) == expected
    assert config["region"] == "us-west-2"
    assert options["allow_http"] is endpoint.startswith("http:")


def test_urls_that_obstore_leaves_to_fsspec(s3_url: str, client: str) -> None:
    for url in ("memory://a/b", "https://host/b", "s3://bucket", "s3://bucket/a//b", "s3://bucket/../b"):
        assert obstore_of(url) is None
    storage.publish_bytes(f"{s3_url}/a//b", DIGITS)
    assert storage.read_ranges(f"{s3_url}/a//b", [(1, 3)]) == [b"12"], client


def test_a_client_that_there_is_not() -> None:
    with pytest.raises(ConfigError, match="must be one of fsspec, obstore, got 'curl'"):
        storage.use_client("curl")  # type: ignore[arg-type]


def test_a_client_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(ConfigError, match=r"obstore is not installed: pip install 'datascaler\[worker\]'"):
        storage.use_client("obstore")
    assert client_module.fast_store("s3://bucket/file") is None


@pytest.mark.parametrize("method", ["forkserver", "spawn", "fork"])
def test_child_processes(s3_url: str, method: str) -> None:
    """After a fork obstore would never return: the child falls back, and says so."""
    storage.publish_bytes(f"{s3_url}/file", DIGITS)
    command = [sys.executable, "-m", "tests.storage.processes", method, f"{s3_url}/file"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=dict(os.environ))
    first, second = done.stdout.splitlines()
    assert first == DIGITS.decode()
    assert second == f"{DIGITS.decode()} True 0"
    warnings = re.findall("was forked from one that has used obstore", done.stderr)
    assert len(warnings) == (1 if method == "fork" else 0), done.stderr
