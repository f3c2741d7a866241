"""Paths, URLs and names as people write them: what can't be meant is refused before anything is read or written."""

import re
from typing import Any

from datascaler.errors import ConfigError
from datascaler.spec.field import facts_of, flat_items

_STORES = ("s3", "s3a", "gs", "gcs", "az", "abfs", "hf", "http", "https", "memory", "file")
_SCHEME = re.compile(rf"({'|'.join(_STORES)})(?=[:/\\])(:?)([/\\]*)(.*)", re.IGNORECASE | re.DOTALL)
_WEB = re.compile(r"https?://")
_LOCAL_DIR = "local-dir:"


def check_path(name: str, text: str, *, written: bool = False) -> None:
    """Refuse what is no path or URL. `name` is how the user knows it; `written`: results go there.

    An empty path is the root of the file system once a name is joined to it, and `s3:/bucket` a folder called `s3:`.
    """
    if not text.strip():
        raise ConfigError(f"{name} is empty: give a folder or a URL (is a variable of the shell not set?)")
    if "\0" in text:
        raise ConfigError(f"{name} is {text!r}, and no path holds a null character")
    if re.search("[\ud800-\udfff]", text):
        raise ConfigError(f"{name} is {text}, which is not UTF-8: rename the folder, for no table can hold its name")
    for part in text.split("::"):
        if meant := _meant(part):
            raise ConfigError(f"{name} is {text}, which is no URL: did you mean {meant}?")
    if written and _WEB.match(text):
        raise ConfigError(f"{name} is {text}, on a web server, where nothing can be written: give a folder or a store")
    if written and text.startswith(("/", "file:///")) and not text.removeprefix("file://").strip("/."):
        raise ConfigError(f"{name} is {text}, the root of the file system: name a folder in it")


def check_file_name(name: str, text: str) -> None:
    """Refuse what is no name of a file: it is joined to a path."""
    if not text.strip() or text in (".", "..") or "\0" in text:
        raise ConfigError(f"{name} is {text!r}, which is no name: give letters and digits, as in clip-f0.3")
    if "/" in text:
        raise ConfigError(f"{name} is {text}, a path; give the name alone, which is looked for in the output folder")


def check_places(spec: Any) -> None:
    """Refuse a spec whose paths and names can't be meant."""
    for each, value in flat_items(spec):
        facts = facts_of(each)
        if facts.place is None or value is None or value == each.default:
            continue
        for text in value if isinstance(value, tuple) else (value,):
            if facts.place == "scores":
                check_file_name(each.name, text)
            else:
                check_path(each.name, text.removeprefix(_LOCAL_DIR), written=facts.written)


def _meant(text: str) -> str:
    """The URL that somebody meant who wrote no URL; empty where nothing is wrong."""
    found = _SCHEME.fullmatch(text)
    if found is None:
        return ""
    scheme, colon, slashes, rest = found[1].lower(), found[2], found[3], found[4]
    # `s3-results` and `file` are names of folders; so is `s3/pool`, unless a second slash says what was meant.
    if not colon and len(slashes) < 2:
        return ""
    if scheme == "file":
        # With two slashes it would be a path below the folder one is in.
        return "" if (found[1], slashes) == (scheme, "///") and rest else f"file:///{rest}"
    good = colon and slashes == "//" and found[1] == scheme and rest
    return "" if good else f"{scheme}://{rest or 'BUCKET'}"
