"""URL -> (filesystem, path), and the one place where a storage library's errors become ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import fsspec

from datascaler.errors import ConfigError, NotFoundError, StorageError, first_line

# Listings are never cached: other processes publish into the folders we list.
# botocore's default of 10 connections starves fsspec, which starts hundreds of requests at once.
_S3_OPTIONS: dict[str, Any] = {"use_listings_cache": False, "config_kwargs": {"max_pool_connections": 64}}


def filesystem(url: str) -> tuple[Any, str]:
    """The fsspec filesystem of a URL, and the path in it. Cheap: fsspec keeps one instance per process and options."""
    options = _S3_OPTIONS if url.startswith(("s3://", "s3a://")) else {}
    try:
        fs, path = fsspec.core.url_to_fs(url, **options)
    except (ValueError, ImportError) as error:
        raise StorageError(f"{url}: {error}") from error
    return fs, str(path)


def full_url(name: str, folder: str, folder_path: str) -> str:
    """The URL of a path that a listing of `folder` returned, written as the user wrote the folder."""
    return folder.rstrip("/") + name.removeprefix(folder_path.rstrip("/"))


@contextmanager
def translated_errors(url: str) -> Iterator[None]:
    """Turn the errors of fsspec and the clients below it into one sentence; leave unknown ones untouched."""
    try:
        yield
    except FileNotFoundError as error:
        if _says_no_bucket(error):
            raise ConfigError(f"the bucket of {url} does not exist: make it, or correct the URL") from error
        raise NotFoundError(f"{url}: not found (check the bucket or folder and the path)") from error
    except PermissionError as error:
        raise StorageError(f"{url}: access denied ({first_line(error)}); check the credentials or the mode") from error
    except OSError as error:
        raise StorageError(f"{url}: {first_line(error)}") from error
    except Exception as error:
        if _is_botocore(error):
            remedy = "check AWS_ENDPOINT_URL and the AWS credentials in the environment"
            raise StorageError(f"{url}: {first_line(error)}; {remedy}") from error
        raise


def _says_no_bucket(error: BaseException) -> bool:
    """Of a bucket that is not there the store says so by a code; a file that is not there has none, or another."""
    response = getattr(error.__cause__, "response", None)
    return isinstance(response, dict) and response.get("Error", {}).get("Code") == "NoSuchBucket"


def _is_botocore(error: Exception) -> bool:
    return any(cls.__module__.startswith(("botocore.", "aiobotocore.")) for cls in type(error).__mro__)
