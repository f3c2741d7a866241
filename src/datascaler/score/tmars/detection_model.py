"""Which text detector a run uses: the network inside an installed wheel, or a file of the user's."""

import hashlib
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from datascaler import storage
from datascaler.errors import ConfigError
from datascaler.score.tmars.detector import MAX_SIDE, OnnxTextDetector
from datascaler.score.tmars.regions import BoxRule

_PACKAGE, _FILE = "rapidocr", "models/PP-OCRv6_det_small.onnx"
"""Its wheel carries the network of PaddleOCR; the package itself is never imported."""


def load_detector(url: str | None = None) -> OnnxTextDetector:
    """The detector of an .onnx file, or the default one. Raises ConfigError where there is none."""
    url = url or _packaged_model()
    rule = BoxRule()
    digest = hashlib.sha256(storage.read_bytes(url)).hexdigest()
    name = PurePosixPath(url).name.removesuffix(".onnx")
    return OnnxTextDetector(url, f"{name}-{digest[:8]}-{MAX_SIDE}px-{rule.as_text()}", rule)


def _packaged_model() -> str:
    spec = find_spec(_PACKAGE)
    for folder in (spec and spec.submodule_search_locations) or ():
        if (file := Path(folder) / _FILE).is_file():
            return str(file)
    raise ConfigError(f"no {_PACKAGE}/{_FILE} is installed: pip install 'datascaler[worker]', or give --detector FILE")
