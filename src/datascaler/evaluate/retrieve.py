"""Image-text retrieval: recall of the image for each caption, and of any own caption for each image."""

from collections.abc import Callable
from hashlib import sha256

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from datascaler.evaluate.classify import LOGIT_SCALE, scores_of
from datascaler.evaluate.embed import embed_prompts, embed_samples, first_places
from datascaler.evaluate.evalset import EvalSet
from datascaler.evaluate.results import Outcome
from datascaler.models.loaded import LoadedClip

CUTS = (1, 5, 10)
_BLOCK_ROWS = 512
"""Rows of the score matrix that exist at once; MSCOCO's 25,000 columns then take 50 MB."""


def retrieve(
    model: LoadedClip,
    evalset: EvalSet,
    *,
    batch_size: int,
    num_workers: int,
    advance: Callable[[int], object] = lambda images: None,  # noqa: ARG005
) -> Outcome:
    """Rank both ways over a whole set. An image that does not decode leaves, and its captions with it."""
    keys: list[str] = []
    decoded: list[bool] = []
    captions: list[str] = []
    caption_counts: list[int] = []
    features: list[Tensor] = []
    digests: list[bytes] = []
    for batch in embed_samples(model, evalset.samples(), batch_size=batch_size, num_workers=num_workers):
        keys += [sample.key for sample in batch.samples]
        decoded += batch.decoded
        for sample, good in zip(batch.samples, batch.decoded, strict=True):
            if good:
                captions += sample.captions
                caption_counts.append(len(sample.captions))
                digests.append(sha256(sample.image).digest())
        if any(batch.decoded):
            features.append(batch.features)
        advance(len(batch.samples))
    if not features:
        nothing = np.empty(0, dtype=np.int64)
        return Outcome(retrieval_metrics(nothing, nothing), _table(keys, decoded, nothing, [], nothing), 0, len(keys))
    owner = torch.from_numpy(np.repeat(np.arange(len(caption_counts)), caption_counts))
    same_images, same_texts = first_places(digests), first_places(captions)
    images, texts = torch.cat(features)[same_images], _embed_once(model, captions)
    image_ranks, text_ranks = ranks(images, texts, owner, same_images=same_images, same_texts=same_texts)
    samples = _table(keys, decoded, text_ranks, caption_counts, image_ranks)
    for name, values in zip(("log_probability", "margin"), caption_confidence(images, texts, owner), strict=True):
        rest = iter(values)
        column = [next(rest) if good else None for good in decoded]
        samples = samples.append_column(name, pa.array(column, pa.float32()))
    return Outcome(
        retrieval_metrics(image_ranks, text_ranks), samples, images=sum(decoded), bad_images=len(keys) - sum(decoded)
    )


def _embed_once(model: LoadedClip, captions: list[str]) -> Tensor:
    """Unit vectors [m, d] of the captions; those of equal ones are one vector."""
    distinct = list(dict.fromkeys(captions))
    place = {caption: row for row, caption in enumerate(distinct)}
    return torch.cat(list(embed_prompts(model, distinct)))[[place[caption] for caption in captions]]


@torch.inference_mode()
def ranks(
    images: Tensor,
    texts: Tensor,
    owner: Tensor,
    block_rows: int = _BLOCK_ROWS,
    *,
    same_images: list[int] | None = None,
    same_texts: list[int] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(rank of its image for each caption, rank of its best own caption for each image), from 1.

    `images` is [n, d], `texts` [m, d], `owner` [m] the image of each caption, `same_images` and `same_texts` the first
    that each is equal to. Of equal scores the lower index comes first.
    """
    owner = owner.to(images.device)
    image_ids = torch.arange(len(images), device=images.device)
    of_texts = [
        _rank(scores_of(texts[block], images.T, same_images), owner[block, None] == image_ids)
        for block in _blocks(len(texts), block_rows)
    ]
    of_images = [
        _rank(scores_of(images[block], texts.T, same_texts), image_ids[block, None] == owner)
        for block in _blocks(len(images), block_rows)
    ]
    return torch.cat(of_texts).cpu().numpy(), torch.cat(of_images).cpu().numpy()


@torch.inference_mode()
def caption_confidence(
    images: Tensor, texts: Tensor, owner: Tensor, block_rows: int = _BLOCK_ROWS
) -> tuple[list[float], list[float]]:
    """Log probability of each image's best own caption among all captions, and its margin to the best other's one."""
    owner = owner.to(images.device)
    image_ids = torch.arange(len(images), device=images.device)
    logs, margins = [], []
    for block in _blocks(len(images), block_rows):
        log_NM = (LOGIT_SCALE * images[block] @ texts.T).log_softmax(dim=1)
        own_NM = image_ids[block, None] == owner
        own_N = log_NM.masked_fill(~own_NM, -torch.inf).amax(dim=1)
        other_N = log_NM.masked_fill(own_NM, -torch.inf).amax(dim=1)
        logs += own_N.tolist()
        margins += (own_N.exp() - other_N.exp()).tolist()
    return logs, margins


def retrieval_metrics(image_ranks: NDArray[np.int64], text_ranks: NDArray[np.int64]) -> dict[str, float | None]:
    """Fractions in 0..1; all None without a single image."""
    image = {cut: float((image_ranks <= cut).mean()) if len(image_ranks) else None for cut in CUTS}
    text = {cut: float((text_ranks <= cut).mean()) if len(text_ranks) else None for cut in CUTS}
    first_image, first_text = image[1], text[1]
    return {
        **{f"image_retrieval_recall@{cut}": recall for cut, recall in image.items()},
        **{f"text_retrieval_recall@{cut}": recall for cut, recall in text.items()},
        "mean_recall@1": None if first_image is None or first_text is None else 0.5 * (first_image + first_text),
    }


def _rank(scores: Tensor, own: Tensor) -> Tensor:
    """Rank in each row of the best among its own columns."""
    best, place = scores.masked_fill(~own, -torch.inf).max(dim=1, keepdim=True)
    columns = torch.arange(scores.shape[1], device=scores.device)
    above = (scores > best) | ((scores == best) & (columns < place))
    return above.sum(dim=1) + 1


def _blocks(rows: int, block_rows: int) -> list[slice]:
    return [slice(start, start + block_rows) for start in range(0, rows, block_rows)]


def _table(
    keys: list[str],
    decoded: list[bool],
    text_ranks: NDArray[np.int64],
    caption_counts: list[int],
    image_ranks: NDArray[np.int64],
) -> pa.Table:
    """One row an image: the rank of its best caption, and the rank of the image for each of its captions."""
    best = iter(text_ranks.tolist())
    per_caption = iter(np.split(image_ranks, np.cumsum(caption_counts)[:-1]) if caption_counts else [])
    return pa.table(
        {
            "key": pa.array(keys, pa.string()),
            "rank": pa.array([next(best) if good else None for good in decoded], pa.int32()),
            "caption_ranks": pa.array(
                [next(per_caption).tolist() if good else None for good in decoded], pa.list_(pa.int32())
            ),
        }
    )
