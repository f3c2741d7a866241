"""URL arithmetic. No file is touched here."""

from pathlib import Path

from datascaler.errors import ConfigError


def is_local(url: str) -> bool:
    return "://" not in url or url.startswith("file://")


def local_path(url: str) -> str:
    """The path of a local file, found without fsspec, which takes longer than a small read."""
    return str(Path(url).expanduser()) if url.startswith("~") else url.removeprefix("file://")


def join(url: str, *parts: str) -> str:
    """Raises ConfigError for an empty URL, below which lies the root of the file system."""
    if not url:
        raise ConfigError("an empty path: give a folder or a URL")
    return "/".join([url.rstrip("/"), *(part.strip("/") for part in parts)])


def basename(url: str) -> str:
    return url.rstrip("/").rsplit("/", 1)[-1]


def parent(url: str) -> str:
    head, _, _ = url.rstrip("/").rpartition("/")
    return head or "."


def relative_to(url: str, base: str) -> str:
    """`url` without its leading `base/`; the URL's own name where it does not lie below `base`."""
    prefix = base.rstrip("/") + "/"
    return url.removeprefix(prefix) if url.startswith(prefix) else basename(url)
