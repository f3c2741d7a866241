"""Which language a caption is in: fastText by a model file, or Google's CLD3, whose model is inside its package.

DataComp uses both: fastText's lid.176 in most of its baselines, CLD3 in that of LAION-2B (arXiv 2304.14108).
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import file_digest
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from datascaler import storage
from datascaler.errors import ConfigError
from datascaler.tools.contained import Limits, run_contained

CLD3 = "cld3"
_ENGLISH = "en"
_LABEL = "__label__"
_SPARE_BYTES, _BYTES_A_SECOND = 8 << 30, 4 << 20
_CLD3_BYTES = 1000
"""Bytes of a caption that are looked at: LAION's limit, and so DataComp's."""


class LanguageDetector(Protocol):
    @property
    def detector_id(self) -> str:
        """Names exactly this model."""
        ...

    def detect(self, caption: str) -> tuple[str, float]:
        """The likeliest language, as ISO 639 has it, and its probability; "" and 0 where there is none."""
        ...


def load_detector(model: str) -> LanguageDetector:
    """`cld3`, or the URL of a fastText model, as lid.176.bin or lid.176.ftz.

    Raises ConfigError where its package is not installed or the file is no such model.
    """
    if model.lower() == CLD3:
        gcld3 = _imported("gcld3", "cld3-py")
        identifier = gcld3.NNetLanguageIdentifier(min_num_bytes=0, max_num_bytes=_CLD3_BYTES)
        return _Cld3(identifier, f"{CLD3}-{version('cld3-py')}")
    fasttext = _imported("fasttext", "fasttext-predict")
    with storage.local_copy(model) as path:
        with path.open("rb") as file:
            digest = file_digest(file, "sha256").hexdigest()
        try:
            _try_once(digest, path)
            loaded = fasttext.load_model(str(path))
        except (ConfigError, ValueError, RuntimeError, MemoryError) as error:
            raise ConfigError(f"{model} is not a fastText model, as lid.176.bin is ({error})") from error
    labels, _ = loaded.predict("", k=-1)
    if f"{_LABEL}{_ENGLISH}" not in labels:
        raise ConfigError(f"{model} has no label {_LABEL}{_ENGLISH}: give a model that tells languages, as lid.176.bin")
    return _FastText(loaded, f"fasttext-{digest[:8]}")


_tried: set[str] = set()
"""Digests of files that this process has seen to be harmless."""


def _try_once(digest: str, path: Path) -> None:
    """The library follows a file's numbers wherever they lead. Raises ConfigError where that ends the process."""
    if digest in _tried:
        return
    size = path.stat().st_size
    # numpy, which it imports, takes address space for each core.
    limits = Limits(memory_bytes=_SPARE_BYTES + 4 * size, cpu_seconds=5 + size // _BYTES_A_SECOND, output_bytes=1000)
    with tempfile.TemporaryFile() as output:
        run_contained("datascaler.score.captions.model_trial:try_fasttext", str(path), output, limits)
    _tried.add(digest)


def english_probabilities(detector: LanguageDetector, captions: Sequence[str]) -> tuple[list[str], list[float]]:
    """The likeliest language of each caption, and the probability of English: 0 where another one is likelier."""
    languages, probabilities = [], []
    for caption in captions:
        language, probability = detector.detect(caption)
        languages.append(language)
        probabilities.append(probability if language == _ENGLISH else 0.0)
    return languages, probabilities


def is_english(detector: LanguageDetector, caption: str) -> bool:
    """Whether English is the likeliest language, however likely."""
    return detector.detect(caption)[0] == _ENGLISH


@dataclass(frozen=True, slots=True)
class _FastText:
    model: Any
    detector_id: str

    def detect(self, caption: str) -> tuple[str, float]:
        # It takes one line at a time.
        labels, probabilities = self.model.predict(caption.replace("\n", " "))
        return (labels[0].removeprefix(_LABEL), float(probabilities[0])) if labels else ("", 0.0)


@dataclass(frozen=True, slots=True)
class _Cld3:
    identifier: Any
    detector_id: str

    def detect(self, caption: str) -> tuple[str, float]:
        found = self.identifier.FindLanguage(text=caption)
        return found.language, float(found.probability)


def _imported(module: str, package: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"to tell languages by {module} the package {package} is needed: pip install 'datascaler[captions]'"
        ) from error
