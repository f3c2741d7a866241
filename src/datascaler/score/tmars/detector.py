"""Finding text in pictures, by a detection network in an ONNX file."""

import hashlib
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from datascaler import storage
from datascaler.errors import ConfigError
from datascaler.score.tmars.boxes import TextBox
from datascaler.score.tmars.regions import BoxRule, boxes_of_map

_MULTIPLE = 32
"""The network halves its input five times."""
MAX_SIDE = 1024
"""Larger pictures are shrunk to this. No picture is enlarged."""
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""PaddleOCR's, over blue, green and red in this order, as its networks are trained."""
_FACTOR = np.array([1 / (255 * std) for std in _STD], np.float32).reshape(1, 3, 1, 1)
_OFFSET = np.array([mean / std for mean, std in zip(_MEAN, _STD, strict=True)], np.float32).reshape(1, 3, 1, 1)
_PACKAGE, _FILE = "rapidocr", "models/PP-OCRv6_det_small.onnx"
"""Its wheel carries the network of PaddleOCR; the package itself is never imported."""


class TextDetector(Protocol):
    """Picklable. Several threads may call it at once."""

    @property
    def detector_id(self) -> str:
        """Names all that changes boxes: network, sizes, thresholds."""
        ...

    def detect(self, pixels: NDArray[np.uint8]) -> list[TextBox]:
        """Boxes in the pixels of an RGB picture, uint8 [height, width, 3]."""
        ...


@dataclass(frozen=True, slots=True)
class OnnxTextDetector:
    """A network that maps [n, 3, h, w] to the probability of text, [n, 1, h, w], as PaddleOCR's do."""

    url: str
    """The .onnx file. Each process reads it when it detects for the first time."""
    detector_id: str
    rule: BoxRule = field(default_factory=BoxRule)

    def detect(self, pixels: NDArray[np.uint8]) -> list[TextBox]:
        height, width = pixels.shape[:2]
        network, name = _session(self.url)
        planes, shown_height, shown_width = _prepare(pixels)
        (maps,) = network.run(None, {name: planes})
        return boxes_of_map(maps[0, 0, :shown_height, :shown_width], width, height, self.rule)


def _prepare(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float32], int, int]:
    """The network's input, and the height and width of the part of it that is picture."""
    height, width = pixels.shape[:2]
    scale = min(1.0, MAX_SIDE / max(height, width))
    if scale < 1:
        height, width = max(1, round(height * scale)), max(1, round(width * scale))
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    below, beside = -height % _MULTIPLE, -width % _MULTIPLE
    padded = cv2.copyMakeBorder(pixels, 0, below, 0, beside, cv2.BORDER_REPLICATE)
    planes = padded[:, :, ::-1].transpose(2, 0, 1)[None] * _FACTOR - _OFFSET
    return np.ascontiguousarray(planes), height, width


@cache
def _session(url: str) -> tuple[Any, str]:
    """The network, and its input's name. On CUDA where onnxruntime has it, else on one CPU core.

    One core, because scoring runs many workers, each with a picture of its own.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    providers: list[Any] = ["CPUExecutionProvider"]
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        # Pictures have many sizes; an exhaustive search would try all algorithms again at each.
        providers.insert(0, ("CUDAExecutionProvider", {"cudnn_conv_algo_search": "HEURISTIC"}))
    try:
        session = onnxruntime.InferenceSession(storage.read_bytes(url), options, providers)
        inputs, outputs = session.get_inputs(), session.get_outputs()
    except (RuntimeError, ValueError) as error:
        raise ConfigError(f"{url} is not a network that onnxruntime can run: {error}") from error
    except Exception as error:
        # Its own exceptions have no common base but this.
        if type(error).__module__.partition(".")[0] != "onnxruntime":
            raise
        raise ConfigError(f"{url} is not a network that onnxruntime can run: {error}") from error
    if [len(inputs), len(outputs)] != [1, 1] or [len(inputs[0].shape), len(outputs[0].shape)] != [4, 4]:
        raise ConfigError(f"{url} is no text detector: it needs one input [n, 3, h, w] and one output [n, 1, h, w]")
    return session, inputs[0].name


def load_text_detector(url: str | None = None) -> OnnxTextDetector:
    """The detector of an .onnx file, or the default one. Raises ConfigError where there is none, or a file is none."""
    if url is None:
        url = _packaged_model()
    else:
        _session(url)  # now, and not when the first image is looked at
    rule = BoxRule()
    digest = hashlib.sha256(storage.read_bytes(url)).hexdigest()
    name = PurePosixPath(url.partition("?")[0]).name.removesuffix(".onnx")
    return OnnxTextDetector(url, f"{name}-{digest[:8]}-{MAX_SIDE}px-{rule.as_text()}", rule)


def _packaged_model() -> str:
    spec = find_spec(_PACKAGE)
    for folder in (spec and spec.submodule_search_locations) or ():
        if (file := Path(folder) / _FILE).is_file():
            return str(file)
    raise ConfigError(f"no {_PACKAGE}/{_FILE} is installed: pip install 'datascaler[worker]', or give --detector FILE")
