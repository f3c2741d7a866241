"""The only home of fsspec: every path in datascaler is a URL that goes through these functions.

A plain path, `file://`, `s3://`, `memory://` and any other fsspec URL work alike. S3 takes its endpoint and keys from
the usual environment (AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_PROFILE, workload identity).
"""

from datascaler.storage.client import ClientName, use_client
from datascaler.storage.error_translation import translated_errors
from datascaler.storage.http_files import is_http
from datascaler.storage.identity import (
    SampledReads,
    content_digest,
    content_etags,
    identify,
    identify_all,
    is_content_digest,
)
from datascaler.storage.info import FileInfo, exists, list_files, list_folders, require_bucket, stat, stat_all
from datascaler.storage.publish import (
    check_writable,
    publish,
    publish_bytes,
    publish_if_absent,
    publish_json,
    publish_text,
    remove,
    remove_unfinished,
)
from datascaler.storage.read import (
    expect_local,
    local_copy,
    open_read,
    opened_local,
    read_bytes,
    read_json,
    read_local_into,
    read_ranges,
    read_text,
)
from datascaler.storage.records import checked, publish_record, read_record, signed
from datascaler.storage.retry import assume_answers, retried, retry_seconds
from datascaler.storage.temporary import named_full_disk, scratch_folder, temporary_folder
from datascaler.storage.urls import basename, is_local, join, local_path, parent, relative_to

__all__ = [
    "ClientName",
    "FileInfo",
    "SampledReads",
    "assume_answers",
    "basename",
    "check_writable",
    "checked",
    "content_digest",
    "content_etags",
    "exists",
    "expect_local",
    "identify",
    "identify_all",
    "is_content_digest",
    "is_http",
    "is_local",
    "join",
    "list_files",
    "list_folders",
    "local_copy",
    "local_path",
    "named_full_disk",
    "open_read",
    "opened_local",
    "parent",
    "publish",
    "publish_bytes",
    "publish_if_absent",
    "publish_json",
    "publish_record",
    "publish_text",
    "read_bytes",
    "read_json",
    "read_local_into",
    "read_ranges",
    "read_record",
    "read_text",
    "relative_to",
    "remove",
    "remove_unfinished",
    "require_bucket",
    "retried",
    "retry_seconds",
    "scratch_folder",
    "signed",
    "stat",
    "stat_all",
    "temporary_folder",
    "translated_errors",
    "use_client",
]
