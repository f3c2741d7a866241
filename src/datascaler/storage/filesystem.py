"""URL -> (filesystem, path), by fsspec."""

import os
from typing import Any

import fsspec

from datascaler.errors import ConfigError, StorageError, first_line
from datascaler.safe_text import has_userinfo
from datascaler.storage.error_translation import translated_errors

_CONNECT_SECONDS, _READ_SECONDS = 5.0, 15.0
"""The silence after which a web server is taken for one that does not answer; the S3 clients have the same limits."""


def filesystem(url: str) -> tuple[Any, str]:
    """The fsspec filesystem of a URL, and the path in it. Cheap: fsspec keeps one instance per process and options."""
    is_s3 = url.startswith(("s3://", "s3a://"))
    if has_userinfo(url):
        remedy = (
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            if is_s3
            else "~/.netrc (machine HOST login NAME password WORD)"
        )
        raise ConfigError(
            f"{url}: what opens a store does not belong in its URL, which is written into records and tables: "
            f"give it in {remedy}"
        )
    options = _s3_options() if is_s3 else _http_options() if url.startswith(("http://", "https://")) else {}
    try:
        with translated_errors(url):
            fs, path = fsspec.core.url_to_fs(url, **options)
    except (ValueError, ImportError) as error:
        raise StorageError(f"{url}: {first_line(error)}") from error
    if is_s3:
        # Its own tries come on top of botocore's below and of ours above: 25 timeouts, where one tells as much.
        fs.retries = 1
    return fs, str(path)


def full_url(name: str, folder: str, folder_path: str) -> str:
    """The URL of a path that a listing of `folder` returned, written as the user wrote the folder."""
    return folder.rstrip("/") + name.removeprefix(folder_path.rstrip("/"))


def _http_options() -> dict[str, Any]:
    from aiohttp import ClientTimeout

    # Silence ends a wait, and not the time that a large body takes. Proxies are those of the environment.
    timeout = ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_READ_SECONDS)
    return {"client_kwargs": {"trust_env": True, "timeout": timeout}}


def _s3_options() -> dict[str, Any]:
    # botocore's default of 10 connections starves fsspec, which starts hundreds of requests at once.
    config: dict[str, Any] = {"max_pool_connections": 64}
    if not {"AWS_RETRY_MODE", "AWS_MAX_ATTEMPTS"} & os.environ.keys():
        # Botocore repeats single requests, so that one bad part does not cost a whole upload.
        config["retries"] = {"mode": "standard", "max_attempts": 3}
    # Listings are never cached: other processes publish into the folders we list.
    return {"use_listings_cache": False, "config_kwargs": config}
