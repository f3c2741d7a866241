"""Scores of images and captions that are in memory, without a pool or files."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from datascaler.data.pool.images import flatten
from datascaler.errors import ConfigError, ImageDecodeError
from datascaler.models.load import load_clip
from datascaler.models.loaded import LoadedClip
from datascaler.score.pipeline.prepare_samples import prepare_encoded


def score_images(
    images: Sequence[Image.Image | bytes],
    captions: Sequence[str],
    *,
    model: str | LoadedClip | None = None,
    pretrained: str | None = None,
    batch_size: int = 256,
) -> NDArray[np.float32]:
    """The cosine of each image and its caption, as the methods `clip` and `dfn` of `score_pool` write it into tables.

    Args:
        images: n PIL images of any mode, or encoded files (JPEG, PNG, WebP, ...) as bytes.
        captions: n texts; long ones are cut as the model's tokenizer does it.
        model: a model from `load_clip`, or what that takes: an open_clip name, hf-hub:ORG/NAME, local-dir:FOLDER.
        pretrained: an open_clip tag, a weights file, or the URL of a datascaler run.
        batch_size: images in one forward pass.

    Returns float32 [n], each in -1..1; NaN where an image does not decode or the model's answer is not finite.

    Raises ConfigError where there are not as many captions as images, and for a model that can't be loaded.

    Example:
        >>> from PIL import Image
        >>> clip = load_clip("local-dir:model")
        >>> red, blue = Image.new("RGB", (64, 64), "red"), Image.new("RGB", (64, 64), "blue")
        >>> scores = score_images([red, blue, b"no image"], ["a red square", "a blue square", "?"], model=clip)
        >>> scores.shape, bool(abs(scores[0]) <= 1), bool(scores[2] != scores[2])
        ((3,), True, True)
    """
    if len(images) != len(captions):
        raise ConfigError(f"{len(images)} images need as many captions, got {len(captions)}")
    if batch_size < 1:
        raise ConfigError(f"batch_size must be at least 1, got {batch_size}")
    clip = model if isinstance(model, LoadedClip) else load_clip(model, pretrained)
    scores = np.full(len(images), np.nan, np.float32)
    for start in range(0, len(images), batch_size):
        prepared = [_prepared(clip, image) for image in images[start : start + batch_size]]
        seen = [at for at, each in enumerate(prepared) if each is not None]
        if not seen:
            continue
        vectors = clip.embed_prepared(torch.stack([each for each in prepared if each is not None]))
        texts = clip.embed_texts(clip.tokenize([captions[start + at] for at in seen]))
        cosines = (vectors * texts).sum(dim=-1).cpu().numpy()
        scores[[start + at for at in seen]] = np.where(np.abs(cosines) < 2, cosines, np.nan)
    return scores


def _prepared(clip: LoadedClip, image: Image.Image | bytes) -> Tensor | None:
    """An image as the model's transform prepares it; None where it does not decode."""
    try:
        if isinstance(image, Image.Image):
            return clip.transform.prepare(flatten(image))
        return prepare_encoded(clip.transform, image)
    except (ImageDecodeError, OSError):  # a PIL image that was opened is read only now
        return None
