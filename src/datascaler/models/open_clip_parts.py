"""The parts of open_clip and torchvision that are used here, and the only home of both.

`import open_clip` brings torchvision's detectors, for these torch's compiler, timm's thousand models and the hub's
client: nearly twice the CPU of torch itself, in every process. Each of them is imported when a model needs it.
"""

import importlib
import importlib.util
from importlib.metadata import version
from typing import Any

from datascaler.tools.import_in_part import import_in_part


def _factory() -> Any:
    # Which names open_clip takes from where was looked up in this release. Its Hugging Face towers need transformers,
    # which is a user of the hub's client itself.
    if version("open_clip_torch") != "3.3.0" or importlib.util.find_spec("transformers"):
        return importlib.import_module("open_clip.factory")
    return import_in_part(
        "open_clip.factory",
        bodiless=("open_clip", "torchvision", "torchvision.ops"),
        only_called=("timm", "timm.layers", "huggingface_hub"),
    )


factory: Any = _factory()
"""open_clip's module of that name; `from open_clip import factory` would import the whole package."""

from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD  # noqa: E402
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg, CustomTextCLIP  # noqa: E402
from open_clip.tokenizer import SimpleTokenizer  # noqa: E402
from open_clip.transform import (  # noqa: E402
    MaybeConvertMode,
    MaybeToTensor,
    PreprocessCfg,
    image_transform,
    image_transform_v2,
)
from open_clip.transformer import QuickGELU, TextTransformer  # noqa: E402
from torchvision.transforms import (  # noqa: E402
    CenterCrop,
    Compose,
    InterpolationMode,
    Normalize,
    Resize,
    ToTensor,
)

__all__ = [
    "factory",
    "OPENAI_DATASET_MEAN",
    "OPENAI_DATASET_STD",
    "CLIP",
    "CLIPTextCfg",
    "CLIPVisionCfg",
    "CustomTextCLIP",
    "SimpleTokenizer",
    "MaybeConvertMode",
    "MaybeToTensor",
    "PreprocessCfg",
    "image_transform",
    "image_transform_v2",
    "QuickGELU",
    "TextTransformer",
    "CenterCrop",
    "Compose",
    "InterpolationMode",
    "Normalize",
    "Resize",
    "ToTensor",
]
