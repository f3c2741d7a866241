"""What decode workers do with samples: decode, edit, resize, tokenize."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from datascaler.data.pool.images import decode_pixels, decode_rgb
from datascaler.data.pool.samples import BAD_IMAGE, OK, Sample
from datascaler.errors import ImageDecodeError
from datascaler.models.image_transform import FastTransform, SplitTransform, WholeTransform
from datascaler.models.loaded import LoadedClip
from datascaler.score.pipeline.image_edit import ImageEdit

SampleValues = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Prepared:
    """Some consecutive samples of a shard, without their bytes."""

    samples: list[Sample]
    values: list[SampleValues]
    """What the edit found in each sample."""
    seen: list[int]
    """The samples that the network sees."""
    images: Tensor | None
    """Their images as the transform prepares them, stacked. None if there are none."""
    tokens: Tensor | None
    """Their captions' tokens, int64 [len(seen), context_length]."""


@dataclass(frozen=True, slots=True)
class Preparation:
    """The work on a few samples. Picklable."""

    transform: SplitTransform | WholeTransform | FastTransform | None
    """None where no network sees the pictures."""
    tokenize: Callable[[Sequence[str]], Tensor] | None
    edit: ImageEdit | None

    def __call__(self, samples: list[Sample], notes: Sequence[Any] | None = None) -> Prepared:
        """`notes` has what the edit has on file, one a sample."""
        values: list[SampleValues] = []
        seen: list[int] = []
        images: list[Tensor] = []
        captions: list[str] = []
        for at, sample in enumerate(samples):
            image, found = self._image(sample, notes[at] if notes is not None else None)
            if image is not None:
                seen.append(at)
                images.append(image)
                captions.append(sample.caption)
            values.append(found)
            # Done with: they need not travel back from a worker process.
            sample.image, sample.caption = b"", ""
        stacked = torch.stack(images) if images else None
        tokens = self.tokenize(captions) if captions and self.tokenize else None
        return Prepared(samples, values, seen, stacked, tokens)

    def _image(self, sample: Sample, note: Any) -> tuple[Tensor | None, SampleValues]:
        """What the network is to see, and what the edit says; the reason in the row where it can't be had."""
        if sample.status != OK:
            return None, {}
        try:
            if self.edit is None:
                if self.transform:
                    return prepare_encoded(self.transform, sample.image), {}
                decode_pixels(sample.image)  # only whether it decodes
                return None, {}
            known = self.edit.known(sample, note)
            if known is not None or sample.status != OK:
                return None, known or {}
            pixels, found = self.edit(sample, decode_pixels(sample.image), note)
        except ImageDecodeError as error:
            sample.status, sample.detail = BAD_IMAGE, str(error)
            return None, {}
        if pixels is None or self.transform is None:
            return None, found
        if isinstance(self.transform, FastTransform):
            return self.transform.prepare(pixels), found
        return self.transform.prepare(Image.fromarray(pixels)), found


def prepare_encoded(transform: SplitTransform | WholeTransform | FastTransform, encoded: bytes | memoryview) -> Tensor:
    """An encoded image as the transform's `prepare` gives it. Raises ImageDecodeError."""
    if isinstance(transform, FastTransform):  # takes the decoder's pixels as they are; a PIL image is two more copies
        return transform.prepare(decode_pixels(encoded))
    return transform.prepare(decode_rgb(encoded))


def preparation_for(clip: LoadedClip | None, edit: ImageEdit | None = None) -> Preparation:
    """The preparation for a model, or for an edit alone."""
    return Preparation(clip.transform, clip.tokenize, edit) if clip else Preparation(None, None, edit)
