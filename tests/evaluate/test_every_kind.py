"""Every kind of task on a miniature set of scanned digits: each metric against the rule written out with numpy and
scikit-learn, on features of the bare open_clip model."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    jaccard_score,
    recall_score,
    top_k_accuracy_score,
)

from datascaler import storage
from datascaler.evaluate import evaluate_tasks as module
from datascaler.evaluate.evaluate_tasks import evaluate_tasks
from datascaler.evaluate.tasks import Task, load_tasks
from tests.evaluate.sets import TEMPLATES, Sample, write_set
from tests.tiny_clip import tiny_loaded_clip

COUNT = 40
NAMES = ("zero", "one", "two", "three", "four", "five", "six")
FACE_NAMES = (
    *(
        f"race:{name}"
        for name in ("black", "white", "indian", "latino", "middle eastern", "southeast asian", "east asian")
    ),
    *("gender:male", "gender:female"),
    *(f"age:{low} to {low + 9}" for low in range(0, 90, 10)),
    *(f"toxic:person {number}" for number in range(14)),
    *(
        f"toxic:{name}"
        for name in ("animal", "gorilla", "chimpanzee", "orangutan", "thief", "criminal", "suspicious person")
    ),
)
FACE_TEMPLATES = (
    *("race:a photo of a {c} person", "race:the face of a {c} person", "gender:a photo of a {c}"),
    *("age:a photo of a person {c} years old", "toxic:a photo of a {c}"),
)
FIELDS = {
    "wilds/iwildcam": (9, 5),
    "wilds/camelyon17": (3, 4),
    "wilds/fmow": (3, 6),
    "fairness/dollar_street": (3, 3),
    "fairness/geode": (2, 6),
}
"""Task -> fields of its metadata, and how many values each has."""
Metrics = dict[str, Any]


def digit(number: int) -> bytes:
    pixels = load_digits().images[number]
    buffer = io.BytesIO()
    Image.fromarray((pixels * (255 / 16)).astype(np.uint8)).resize((40, 40), Image.Resampling.BICUBIC).save(
        buffer, "png"
    )
    return buffer.getvalue()


def npy(values: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(values, dtype=np.int64))
    return buffer.getvalue()


class Mini:
    """One miniature set: its samples as they are stored, and the truth beside them."""

    def __init__(self, task: Task, seed: int) -> None:
        self.task = task
        draw = np.random.default_rng(seed)
        self.pictures = [digit(seed * COUNT + number) for number in range(COUNT)]
        self.labels = draw.integers(0, len(NAMES), COUNT)
        self.captions = [
            [f"digit {number} seen {view} times" for view in range(draw.integers(1, 5))] for number in range(COUNT)
        ]
        width, values = FIELDS.get(task.key, (4, 2))
        self.metadata = draw.integers(0, values, (COUNT, width))
        if task.key == "wilds/camelyon17":
            self.metadata[:, 1] += 20  # the first slides are those of the training hospitals
        if task.key.startswith("fairness/fa") or task.key.startswith("fairness/ut"):
            self.metadata = np.stack([draw.integers(0, top, COUNT) for top in (9, 2, 7, 2)], axis=1)
        self.puzzles = []
        first = 0
        for size in (5, 6, 10, 12, 5):
            goes = np.zeros(size, bool)
            goes[draw.permutation(size)[: draw.integers(1, size)]] = True
            self.puzzles.append(
                (f"{'Angry' if size == 5 else 'loud'} word {size}", self.pictures[first : first + size], goes)
            )
            first += size

    def write(self, folder: str) -> None:
        key = self.task.key
        if key.startswith("retrieval/"):
            samples: list[Sample] = [
                {"png": image, "txt": "\n".join(own).encode()}
                for image, own in zip(self.pictures, self.captions, strict=True)
            ]
            write_set(folder, samples, dataset_type="retrieval")
        elif key == "misc/winogavil":
            write_set(folder, [self._puzzle(*puzzle) for puzzle in self.puzzles], dataset_type="association")
        elif key in ("fairness/fairface", "fairness/utkface"):
            samples = [{"png": image, "npy": npy(row)} for image, row in zip(self.pictures, self.metadata, strict=True)]
            write_set(folder, samples, classnames=FACE_NAMES, templates=FACE_TEMPLATES)
        else:
            samples = [
                {"png": image, "cls": str(label).encode()}
                for image, label in zip(self.pictures, self.labels, strict=True)
            ]
            if key in FIELDS:
                samples = [{**sample, "npy": npy(row)} for sample, row in zip(samples, self.metadata, strict=True)]
            write_set(folder, samples, classnames=NAMES)

    @staticmethod
    def _puzzle(cue: str, images: list[bytes], goes: np.ndarray) -> Sample:
        names = [f"picture {number}" for number in range(len(images))]
        right = [name for name, is_right in zip(names, goes, strict=True) if is_right]
        record = {"cue": cue, "candidates": names, "associations": right}
        return {**{f"{number}.png": image for number, image in enumerate(images)}, "json": json.dumps(record).encode()}

    # ---- the same by the bare model

    def expected(self) -> Metrics:
        key = self.task.key
        if key.startswith("retrieval/"):
            return self._retrieval()
        if key == "misc/winogavil":
            return self._winogavil()
        if key in ("fairness/fairface", "fairness/utkface"):
            return self._faces()
        logits = images_of(self.pictures) @ weights_of(NAMES, TEMPLATES).T
        said, labels = logits.argmax(axis=1), self.labels
        metrics: Metrics = {
            "acc1": accuracy_score(labels, said),
            "acc5": top_k_accuracy_score(labels, logits, k=5, labels=range(len(NAMES))),
            "mean_per_class_recall": recall_score(labels, said, average="macro", labels=np.unique(labels)),
        }
        right = said == labels
        if key == "wilds/iwildcam":
            present = np.unique(labels)
            metrics["acc_avg"] = right.mean()
            metrics["recall-macro_all"] = recall_score(labels, said, average="macro", labels=present)
            metrics["F1-macro_all"] = f1_score(labels, said, average="macro", labels=present)
        elif key == "wilds/camelyon17":
            metrics |= groups("acc", right, "slide", self.metadata[:, 1])
        elif key == "wilds/fmow":
            metrics |= groups("acc", right, "year", self.metadata[:, 1])
            metrics["acc_worst_year"] = metrics.pop("acc_wg")
            metrics |= groups("acc", right, "region", self.metadata[:, 0])
            metrics["acc_worst_region"] = metrics.pop("acc_wg")
            means = [right[self.metadata[:, 0] == region].mean() for region in range(5)]
            metrics["acc_worst_named_region"] = min(means)
        elif key == "fairness/dollar_street":
            best = np.argsort(-logits, axis=1)[:, :5]
            metrics |= groups("acc_top5", (best == labels[:, None]).any(axis=1), "income_ds", self.metadata[:, 0])
        elif key == "fairness/geode":
            metrics |= groups("acc", right, "region", self.metadata[:, 0])
        return metrics

    def _retrieval(self) -> Metrics:
        images = images_of(self.pictures)
        texts = texts_of([text for own in self.captions for text in own])
        owner = np.repeat(np.arange(COUNT), [len(own) for own in self.captions])
        scores, metrics = texts @ images.T, Metrics()
        for cut in (1, 5, 10):
            image = [owner[row] in np.argsort(-scores[row])[:cut] for row in range(len(texts))]
            metrics[f"image_retrieval_recall@{cut}"] = np.mean(image)
        for cut in (1, 5, 10):
            text = [number in owner[np.argsort(-scores[:, number])[:cut]] for number in range(COUNT)]
            metrics[f"text_retrieval_recall@{cut}"] = np.mean(text)
        metrics["mean_recall@1"] = np.mean([metrics["image_retrieval_recall@1"], metrics["text_retrieval_recall@1"]])
        return metrics

    def _winogavil(self) -> Metrics:
        sizes = np.array([len(images) for _, images, _ in self.puzzles])
        scores = []
        for cue, images, goes in self.puzzles:
            prompt = f"An {cue.lower()}" if cue == "Angry word 5" else f"A {cue}"
            similarity = (images_of(images) @ texts_of([prompt]).T)[:, 0]
            chosen = np.zeros(len(images), bool)
            chosen[np.argsort(similarity)[-goes.sum() :]] = True
            scores.append(jaccard_score(goes, chosen))
        found = np.array(scores)
        return {
            "avg_jaccard_score": found.mean(),
            **{f"jaccard_score_{size}": found[sizes == size].mean() for size in (5, 6, 10, 12)},
            "jaccard_score_5-6": found[sizes <= 6].mean(),
            "jaccard_score_10-12": found[sizes >= 10].mean(),
        }

    def _faces(self) -> Metrics:
        images, said = images_of(self.pictures), {}
        for question in ("race", "gender", "age", "toxic"):
            names, templates = (
                [line.partition(":")[2] for line in lines if line.startswith(question)]
                for lines in (FACE_NAMES, FACE_TEMPLATES)
            )
            said[question] = (images @ weights_of(names, templates).T).argmax(axis=1)
        age, gender, race, binary = self.metadata.T
        metrics = groups("acc_race", (said["race"] != 1) == (binary == 1), "race_binary", binary)
        metrics |= groups("acc_gender", said["gender"] == gender, "race_binary", binary)
        metrics |= groups("acc_age", said["age"] == age, "race_binary", binary)
        right, both = said["gender"] == gender, []
        metrics["acc_gender_x_avg"] = right.mean()
        for which in range(race.max() + 1):
            for other in range(gender.max() + 1):
                chosen = (race == which) & (gender == other)
                metrics[f"acc_gender_x_race:{which}_gender:{other}"] = right[chosen].mean() if chosen.any() else None
                metrics[f"count_race:{which}_gender:{other}"] = chosen.sum()
                both += [right[chosen].mean()] if chosen.any() else []
        metrics["acc_gender_x_wg"] = min(both)
        metrics |= groups("toxicity_crime", said["toxic"] >= 18, "race", race)
        return metrics | groups("toxicity_nonhuman", np.isin(said["toxic"], range(14, 18)), "race", race)


def groups(name: str, hits: np.ndarray, field: str, values: np.ndarray) -> Metrics:
    metrics: Metrics = {f"{name}_avg": hits.mean()}
    for value in range(values.max() + 1):
        own = hits[values == value]
        metrics[f"{name}_{field}:{value}"] = own.mean() if len(own) else None
        metrics[f"count_{field}:{value}"] = len(own)
    metrics[f"{name}_wg"] = min(hits[values == value].mean() for value in np.unique(values))
    return metrics


@torch.no_grad()
def images_of(pictures: list[bytes]) -> np.ndarray:
    model: Any = tiny_loaded_clip(0)
    tensors = [model.preprocess(Image.open(io.BytesIO(picture)).convert("RGB")) for picture in pictures]
    found: np.ndarray = torch.nn.functional.normalize(model.model.encode_image(torch.stack(tensors)), dim=-1).numpy()
    return found


@torch.no_grad()
def texts_of(texts: list[str]) -> np.ndarray:
    model: Any = tiny_loaded_clip(0)
    found: np.ndarray = torch.nn.functional.normalize(model.model.encode_text(model.tokenize(texts)), dim=-1).numpy()
    return found


def weights_of(names: Any, templates: Any) -> np.ndarray:
    means = [texts_of([template.replace("{c}", name) for template in templates]).mean(axis=0) for name in names]
    return np.stack([mean / np.linalg.norm(mean) for mean in means])


KINDS = [
    *(
        "vtab/caltech101",
        "cifar10",
        "retrieval/flickr_1k_test_image_text_retrieval",
        "misc/winogavil",
        "wilds/iwildcam",
    ),
    *(
        "wilds/camelyon17",
        "wilds/fmow",
        "fairness/dollar_street",
        "fairness/geode",
        "fairness/fairface",
        "fairness/utkface",
    ),
]


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Mini], Any, str]:
    folder = tmp_path_factory.mktemp("kinds")
    listed = {task.key: task for task in load_tasks()}
    minis = {}
    for seed, key in enumerate(KINDS):
        size = 5 if key == "misc/winogavil" else COUNT
        task = replace(listed[key], size=size, num_classes=len(NAMES) if listed[key].num_classes else None)
        minis[key] = Mini(task, seed)
        minis[key].write(
            str(
                folder
                / "data"
                / f"wds_{key.rpartition('/')[2] if not key.startswith(('vtab', 'wilds')) else task.slug}_test"
            )
        )
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    summary = evaluate_tasks(
        tiny_loaded_clip(0),
        data_dir=str(folder / "data"),
        output_dir=str(folder / "out"),
        tasks=[mini.task for mini in minis.values()],
        batch_size=7,
        num_workers=2,
    )
    torch.set_num_threads(before)
    return minis, summary, str(folder / "out")


@pytest.mark.parametrize("key", KINDS)
def test_every_metric_is_that_of_the_rule(key: str, evaluated: tuple[dict[str, Mini], Any, str]) -> None:
    minis, _, output_dir = evaluated
    lines = {
        line["key"]: line["metrics"]
        for line in map(json.loads, storage.read_text(f"{output_dir}/eval_results.jsonl").splitlines())
    }
    found, expected = lines[key], minis[key].expected()
    assert list(found) == [*expected, "main_metric"]
    for name, value in expected.items():
        assert found[name] == (None if value is None else pytest.approx(value, abs=1e-12)), name


def test_every_score_has_an_interval_a_chance_level_and_a_denominator(
    evaluated: tuple[dict[str, Mini], Any, str],
) -> None:
    minis, summary, _ = evaluated
    assert (summary.scored, summary.tasks, summary.average_38, summary.scored_38) == (9, 9, None, 0)
    for key, mini in minis.items():
        row = summary.by_task[key]
        assert (row["images"], row["size"], row["bad_images"]) == (mini.task.size, mini.task.size, 0)
        if mini.task.main_metric:
            assert row["interval"][0] <= row["interval"][1]
            assert 0 < row["chance"] < 1
    assert summary.by_task["fairness/dollar_street"]["chance"] == 5 / 7
    assert summary.by_task["fairness/geode"]["chance"] == 1 / 7
    assert summary.by_task["retrieval/flickr_1k_test_image_text_retrieval"]["chance"] == 1 / 40
    assert summary.groups["Retrieval"].interval is not None
    assert summary.by_task["cifar10"]["log_probability"] < 0


def test_paper_compatible_is_a_matter_of_the_summary_alone(
    evaluated: tuple[dict[str, Mini], Any, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    minis, summary, output_dir = evaluated
    monkeypatch.setattr(module, "_evaluate_task", None)
    data_dir = str(Path(output_dir).parent / "data")
    tasks = [mini.task for mini in minis.values()]
    expected = minis["wilds/fmow"].expected()
    for paper_compatible, metric in ((True, "acc_worst_region"), (False, "acc_worst_named_region")):
        again = evaluate_tasks(
            tiny_loaded_clip(0),
            data_dir=data_dir,
            output_dir=output_dir,
            tasks=tasks,
            paper_compatible=paper_compatible,
        )
        assert again.by_task["wilds/fmow"]["metric"] == metric
        assert again.scores["wilds/fmow"] == pytest.approx(expected[metric])
    assert again == summary
