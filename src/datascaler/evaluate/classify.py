"""Zero-shot classification by CLIP's rule: the class whose averaged prompt is nearest to the image."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from datascaler.evaluate.embed import embed_prompts, embed_samples, first_places
from datascaler.evaluate.evalset import PLACEHOLDER, EvalSet
from datascaler.evaluate.group_metrics import GROUP_FIELDS, GROUP_OF, group_metrics
from datascaler.evaluate.results import Outcome
from datascaler.models.loaded import LoadedClip

LOGIT_SCALE = 100.0
TOP_K = 5
_Value = TypeVar("_Value", int, float)


def classify(
    model: LoadedClip,
    evalset: EvalSet,
    *,
    batch_size: int,
    num_workers: int,
    advance: Callable[[int], object] = lambda images: None,  # noqa: ARG005
    key: str = "",
) -> Outcome:
    """Predict every sample of a set; `advance` is told of the images as they are done.

    key: of the task, where its samples have metadata and it has metrics of its own.
    """
    same = namesakes(model, evalset.classnames, evalset.templates)
    weights = classifier_weights(model, evalset.classnames, evalset.templates, same)
    keys: list[str] = []
    labels: list[int] = []
    predictions: list[int | None] = []
    ranks: list[int | None] = []
    confidences: list[list[float | None]] = [[], []]
    metadata: list[tuple[int, ...]] = []
    for batch in embed_samples(model, evalset.samples(), batch_size=batch_size, num_workers=num_workers):
        batch_labels = [sample.label for sample in batch.samples]
        good = [label for label, decoded in zip(batch_labels, batch.decoded, strict=True) if decoded]
        batch_predictions, batch_ranks = predict(batch.features, weights, good, same)
        keys += [sample.key for sample in batch.samples]
        labels += batch_labels
        predictions += _spread(batch_predictions, batch.decoded)
        ranks += _spread(batch_ranks, batch.decoded)
        for known, of_batch in zip(confidences, confidence(batch.features, weights, good, same), strict=True):
            known += _spread(of_batch, batch.decoded)
        metadata += [sample.metadata for sample in batch.samples]
        advance(len(batch.samples))
    decoded = np.array([rank is not None for rank in ranks], dtype=np.bool_)
    label_N, prediction_N, rank_N = (
        np.array([value or 0 for value in values], dtype=np.int64)[decoded] for values in (labels, predictions, ranks)
    )
    columns = np.array(metadata, dtype=np.int64).reshape(len(labels), evalset.metadata_fields).T
    fields = dict(zip(GROUP_FIELDS.get(key, ()), columns, strict=True))
    metrics = classification_metrics(label_N, rank_N, classes=len(evalset.classnames)) | group_metrics(
        key, label_N, prediction_N, rank_N, {name: values[decoded] for name, values in fields.items()}
    )
    samples = {
        "key": pa.array(keys, pa.string()),
        "label": pa.array(labels, pa.int32()),
        "prediction": pa.array(predictions, pa.int32()),
        "correct": pa.array([None if rank is None else rank == 1 for rank in ranks], pa.bool_()),
        "rank": pa.array(ranks, pa.int32()),
        "log_probability": pa.array(confidences[0], pa.float32()),
        "margin": pa.array(confidences[1], pa.float32()),
        **_groups(key, fields),
    }
    good_images = int(decoded.sum())
    return Outcome(metrics, pa.table(samples), images=good_images, bad_images=len(decoded) - good_images)


def _groups(key: str, fields: Mapping[str, NDArray[np.int64]]) -> dict[str, pa.Array]:
    return {"group": pa.array(fields[GROUP_OF[key]], pa.int32())} if key in GROUP_OF else {}


def namesakes(model: LoadedClip, classnames: Sequence[str], templates: Sequence[str]) -> list[int]:
    """Return for each class the lowest one whose prompts are the same to the model: mostly itself.

    ImageNet has two such pairs. Their logits are equal but for rounding, which depends on what else is in a batch.
    """
    loosely = [" ".join(name.lower().split()) for name in classnames]
    counts = Counter(loosely)
    said = []
    for name, loose in zip(classnames, loosely, strict=True):
        is_alone = counts[loose] == 1
        prompts = () if is_alone else [template.replace(PLACEHOLDER, name) for template in templates]
        said.append(name if is_alone else model.tokenize(prompts).numpy().tobytes())
    return first_places(said)


@torch.inference_mode()
def classifier_weights(
    model: LoadedClip, classnames: Sequence[str], templates: Sequence[str], same: Sequence[int] | None = None
) -> Tensor:
    """[d, classes]: the unit vector of each class's mean, over the templates, of unit text embeddings.

    same: the namesakes; a class has the very column of its lowest one.
    """
    same = namesakes(model, classnames, templates) if same is None else same
    distinct = sorted(set(same))
    prompts = [template.replace(PLACEHOLDER, classnames[number]) for number in distinct for template in templates]
    texts = torch.cat(list(embed_prompts(model, prompts)))
    mean_CD = texts.view(len(distinct), len(templates), -1).mean(dim=1)
    place = {number: column for column, number in enumerate(distinct)}
    return torch.nn.functional.normalize(mean_CD, dim=-1)[[place[number] for number in same]].T


@torch.inference_mode()
def predict(
    features: Tensor, weights: Tensor, labels: Sequence[int], same: Sequence[int] | None = None
) -> tuple[list[int], list[int]]:
    """Predicted class of each image, and the rank of its true class from 1; of equal logits the lower class wins.

    `features` is [n, d], `weights` [d, classes], `same` the namesakes.
    """
    if not labels:
        return [], []
    logits_NC, label_N1 = _logits(features, weights, labels, same)
    own_N1 = logits_NC.gather(1, label_N1)
    classes_C = torch.arange(logits_NC.shape[1], device=logits_NC.device)
    above_NC = (logits_NC > own_N1) | ((logits_NC == own_N1) & (classes_C < label_N1))
    return logits_NC.argmax(dim=1).tolist(), (above_NC.sum(dim=1) + 1).tolist()


@torch.inference_mode()
def confidence(
    features: Tensor, weights: Tensor, labels: Sequence[int], same: Sequence[int] | None = None
) -> tuple[list[float], list[float]]:
    """Log probability of each image's true class, and its margin: its probability less that of the best other class.

    Probabilities are the softmax of DataComp's logits, whose scale is the same for every model.
    """
    if not labels:
        return [], []
    logits_NC, label_N1 = _logits(features, weights, labels, same)
    log_NC = logits_NC.log_softmax(dim=1)
    own_N = log_NC.gather(1, label_N1).squeeze(1)
    best_other_N = log_NC.exp().scatter(1, label_N1, 0.0).amax(dim=1)
    return own_N.tolist(), (own_N.exp() - best_other_N).tolist()


def scores_of(features: Tensor, weights: Tensor, same: Sequence[int] | None) -> Tensor:
    """[n, classes], without the scale. Equal columns give equal scores, whatever the order in which a sum is made."""
    found = features @ weights
    return found if same is None or list(same) == list(range(len(same))) else found[:, list(same)]


def _logits(
    features: Tensor, weights: Tensor, labels: Sequence[int], same: Sequence[int] | None
) -> tuple[Tensor, Tensor]:
    """[n, classes], and the labels as [n, 1]."""
    logits_NC = scores_of(LOGIT_SCALE * features, weights, same)
    return logits_NC, torch.tensor(labels, device=logits_NC.device).unsqueeze(1)


def classification_metrics(
    labels: NDArray[np.int64], ranks: NDArray[np.int64], *, classes: int
) -> dict[str, float | None]:
    """Fractions in 0..1. acc5 says nothing below five classes; all are None without a single image."""
    if not len(labels):
        return {"acc1": None, "acc5": None, "mean_per_class_recall": None}
    correct = ranks == 1
    seen = np.bincount(labels, minlength=classes)
    hits = np.bincount(labels, weights=correct, minlength=classes)
    return {
        "acc1": float(correct.mean()),
        "acc5": float((ranks <= TOP_K).mean()) if classes >= TOP_K else None,
        # Over the classes that occur, as scikit-learn's balanced accuracy.
        "mean_per_class_recall": float((hits[seen > 0] / seen[seen > 0]).mean()),
    }


def _spread(values: list[_Value], decoded: list[bool]) -> list[_Value | None]:
    """The values at the decoded places, None at the others."""
    rest = iter(values)
    return [next(rest) if good else None for good in decoded]
