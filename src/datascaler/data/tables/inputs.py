"""What a run reads and where it writes: looked at before anything slow begins, so that a typo is told at once."""

import re
from typing import Any

from datascaler import storage
from datascaler.data.pool.shards import list_shards
from datascaler.data.tables.datacomp_metadata import find_metadata
from datascaler.data.tables.score_table import tables_folder
from datascaler.errors import ConfigError
from datascaler.spec.evaluate import EvalSpec
from datascaler.spec.field import facts_of, flag_of, flat_items

_LOCAL_DIR = "local-dir:"
_WEIGHTS = re.compile(r"\.(pt|pth|bin|ftz|safetensors|onnx)$")


def require_inputs(spec: Any) -> None:
    """Raise ConfigError, with its flag, for the first file, folder or URL of a spec that is not there; StorageError
    where nothing can be written to its output.
    """
    for each, value in flat_items(spec):
        place = facts_of(each).place
        if not value or not isinstance(value, str) or place is None or place == "node":
            continue
        if facts_of(each).written:
            storage.check_writable(value)
        elif each.name == "data_dir" and not isinstance(spec, EvalSpec):
            list_shards(value)
        elif each.name == "from_metadata":
            find_metadata(value)
        elif place == "scores":
            # A score name may be that of tables to come; boxes, plain and embeddings are read.
            folder = tables_folder(spec.output_dir, value)
            if each.name != "score_name" and not storage.list_files(folder, recursive=True):
                raise ConfigError(f"{flag_of(each)} {value}: there are no tables in {folder}")
        elif place == "url" or _is_path(value):
            require_place(flag_of(each), value.removeprefix(_LOCAL_DIR))


def _is_path(model: str) -> bool:
    """Words for models are no paths: openai, ViT-B-32, hf-hub:org/name, cld3."""
    return model.startswith(_LOCAL_DIR) or (
        not model.startswith("hf-hub:") and ("/" in model or bool(_WEIGHTS.search(model)))
    )


def require_place(flag: str, url: str) -> None:
    """Raise ConfigError where there is neither a file nor a folder; what servers of the web have is not asked for."""
    if storage.is_http(url) or storage.exists(url) or storage.list_files(url) or storage.list_folders(url):
        return
    storage.require_bucket(url)
    raise ConfigError(f"{flag} {url} does not exist")
