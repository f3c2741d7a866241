"""URL -> obstore store, set up from the same environment and profile that s3fs reads."""

import functools
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from obstore.store import AzureStore, ClientConfig, GCSStore, S3Config, S3Credential, S3Store

    Store: TypeAlias = S3Store | GCSStore | AzureStore

_CREDENTIAL_LIFE = timedelta(minutes=5)
"""The time after which obstore asks again for credentials that expire; botocore renews them before they do."""
_CLIENT_OPTIONS: "ClientConfig" = {
    "connect_timeout": timedelta(seconds=5),
    "read_timeout": timedelta(seconds=15),
    # For a request as a whole: large bodies on a slow line take their time, and silence ends the wait sooner.
    "timeout": timedelta(minutes=30),
}
_RETRIES: Any = {
    # Storms are waited out above, by storage.retry; this is for the one bad request of a hundred.
    "max_retries": 2,
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2), "base": 2},
}


def obstore_of(url: str) -> "tuple[Store, str] | None":
    """The store of the URL's bucket and the path in it; None if obstore cannot read such a URL."""
    scheme, _, rest = url.partition("://")
    bucket, _, path = rest.partition("/")
    # obstore refuses names with empty or dotted parts, which S3 and fsspec take as they are.
    if not bucket or any(part in ("", ".", "..") for part in path.split("/")):
        return None
    if scheme in ("s3", "s3a"):
        return _s3_store(bucket, _environment()), path
    if scheme in ("gs", "az"):
        return _other_store(scheme, bucket), path
    return None


def _environment() -> tuple[str | None, ...]:
    """What decides which S3 is meant: a change of it makes another store, as in a program that reads from two."""
    names = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE")
    return tuple(os.environ.get(name) for name in names)


@functools.cache
def _s3_store(bucket: str, _: tuple[str | None, ...]) -> "S3Store":
    """Asks botocore, as s3fs does, so that both clients reach the same endpoint with the same keys."""
    import botocore.session
    from obstore.store import S3Store

    session = botocore.session.Session()
    client = session.create_client("s3")
    credentials = session.get_credentials()
    style = (client.meta.config.s3 or {}).get("addressing_style", "auto")
    config, options = s3_config(bucket, client.meta.endpoint_url, client.meta.region_name, style)
    bundle = session.get_config_variable("ca_bundle")
    if bundle:
        options = {**options, "root_certificate": Path(bundle).read_bytes()}
    if credentials is None:
        raise botocore.exceptions.NoCredentialsError

    def current() -> "S3Credential":
        frozen = credentials.get_frozen_credentials()
        expires = hasattr(credentials, "refresh_needed")
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": datetime.now(UTC) + _CREDENTIAL_LIFE if expires else None,
        }

    return S3Store(bucket, config=config, client_options=options, retry_config=_RETRIES, credential_provider=current)


def s3_config(bucket: str, endpoint: str, region: str | None, style: str) -> "tuple[S3Config, ClientConfig]":
    """Endpoint and addressing, by botocore's rules: AWS knows buckets by host name, other servers by path.

    `style` is botocore's addressing_style: auto, virtual or path.
    """
    parts = urlsplit(endpoint)
    is_aws = (parts.hostname or "").endswith((".amazonaws.com", ".amazonaws.com.cn"))
    # A certificate for *.s3.amazonaws.com does not cover a name with more dots.
    virtual = style == "virtual" or (style == "auto" and is_aws and "." not in bucket)
    options: ClientConfig = {**_CLIENT_OPTIONS, "allow_http": parts.scheme == "http"}
    address = f"{parts.scheme}://{bucket}.{parts.netloc}" if virtual else endpoint
    config: S3Config = {
        "endpoint": address,
        # obstore would take it from the environment, as it stands there, and prefer it.
        "aws_endpoint_url_s3": address,
        "region": region if region and region != "aws-global" else "us-east-1",
        "virtual_hosted_style_request": virtual,
    }
    return config, options


@functools.cache
def _other_store(scheme: str, bucket: str) -> "GCSStore | AzureStore":
    from obstore.store import AzureStore, GCSStore

    if scheme == "gs":
        return GCSStore(bucket, client_options=_CLIENT_OPTIONS, retry_config=_RETRIES)
    return AzureStore(bucket, client_options=_CLIENT_OPTIONS, retry_config=_RETRIES)
