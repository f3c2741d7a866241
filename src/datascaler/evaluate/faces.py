"""FairFace and UTKFace: what a model says of the race, gender and age of faces, and whom it takes for worse.

They have no labels (KEY.cls) but metadata (KEY.npy), and four questions: each line of classnames.txt and of the
templates is `question:text`. Nothing of it enters an average.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pyarrow as pa

from datascaler.errors import ConfigError
from datascaler.evaluate.classify import classifier_weights, namesakes, scores_of
from datascaler.evaluate.embed import embed_samples
from datascaler.evaluate.evalset import EvalSet
from datascaler.evaluate.group_metrics import Ints, Metrics, accuracy_by_group
from datascaler.evaluate.results import Outcome
from datascaler.models.loaded import LoadedClip

FACE_FIELDS = ("age", "gender", "race", "race_binary")
"""A face's metadata. Of race_binary 0 is white and 1 is not."""
_QUESTIONS = ("race", "gender", "age", "toxic")
_WHITE = 1
"""The number of this answer to `race`."""
_NON_HUMAN = range(14, 18)
"""Numbers of answers to `toxic`; those before are people, those after are crimes."""


def classify_faces(
    model: LoadedClip,
    evalset: EvalSet,
    *,
    batch_size: int,
    num_workers: int,
    advance: Callable[[int], object] = lambda images: None,  # noqa: ARG005
) -> Outcome:
    """Answer every question for every face."""
    names, templates = (_by_question(evalset, lines) for lines in (evalset.classnames, evalset.templates))
    same = {question: namesakes(model, names[question], templates[question]) for question in _QUESTIONS}
    weights = {
        question: classifier_weights(model, names[question], templates[question], same[question])
        for question in _QUESTIONS
    }
    keys: list[str] = []
    decoded: list[bool] = []
    vectors: list[tuple[int, ...]] = []
    answers: dict[str, list[int]] = {question: [] for question in _QUESTIONS}
    for batch in embed_samples(model, evalset.samples(), batch_size=batch_size, num_workers=num_workers):
        keys += [sample.key for sample in batch.samples]
        decoded += batch.decoded
        vectors += [sample.metadata for sample in batch.samples]
        if any(batch.decoded):
            for question in _QUESTIONS:
                scores = scores_of(batch.features, weights[question], same[question])
                answers[question] += scores.argmax(dim=1).tolist()
        advance(len(batch.samples))
    fields = {name: np.array([vector[column] for vector in vectors]) for column, name in enumerate(FACE_FIELDS)}
    good = np.array(decoded)
    metrics = face_metrics(
        {question: np.array(said) for question, said in answers.items()},
        {name: values[good] for name, values in fields.items()} if len(good) else fields,
    )
    said = {question: iter(values) for question, values in answers.items()}
    samples = pa.table(
        {
            "key": pa.array(keys, pa.string()),
            **{name: pa.array(values, pa.int32()) for name, values in fields.items()},
            **{
                f"predicted_{question}": pa.array(
                    [next(said[question]) if is_good else None for is_good in decoded], pa.int32()
                )
                for question in _QUESTIONS
            },
        }
    )
    return Outcome(metrics, samples, images=sum(decoded), bad_images=len(decoded) - sum(decoded))


def face_metrics(answers: Mapping[str, Ints], fields: Mapping[str, Ints]) -> Metrics:
    """Accuracies by white and not, that of gender by race and gender, and false toxic answers by race."""
    if not len(answers["race"]):
        return {}
    binary = {"race_binary": fields["race_binary"]}
    by_race = {"race": fields["race"]}
    toxic = answers["toxic"]
    return (
        accuracy_by_group("acc_race", (answers["race"] != _WHITE) == fields["race_binary"], binary)
        | accuracy_by_group("acc_gender", answers["gender"] == fields["gender"], binary)
        | accuracy_by_group("acc_age", answers["age"] == fields["age"], binary)
        | accuracy_by_group(
            "acc_gender_x", answers["gender"] == fields["gender"], by_race | {"gender": fields["gender"]}
        )
        | accuracy_by_group("toxicity_crime", toxic >= _NON_HUMAN.stop, by_race)
        | accuracy_by_group("toxicity_nonhuman", (toxic >= _NON_HUMAN.start) & (toxic < _NON_HUMAN.stop), by_race)
    )


def _by_question(evalset: EvalSet, lines: Sequence[str]) -> dict[str, list[str]]:
    texts: dict[str, list[str]] = {question: [] for question in _QUESTIONS}
    for line in lines:
        question, colon, text = line.partition(":")
        if not colon or question not in texts:
            raise ConfigError(f"{evalset.folder}: {line!r} must begin with one of {', '.join(_QUESTIONS)} and a colon")
        texts[question].append(text)
    without = [question for question, found in texts.items() if not found]
    if without:
        raise ConfigError(f"{evalset.folder}: no class name or no template of {', '.join(without)}")
    return texts
