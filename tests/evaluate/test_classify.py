"""Zero-shot classification against scikit-learn and the rule written out."""

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import balanced_accuracy_score, top_k_accuracy_score

from datascaler import storage
from datascaler.errors import DatascalerError
from datascaler.evaluate import embed
from datascaler.evaluate.classify import (
    classification_metrics,
    classifier_weights,
    classify,
    namesakes,
    predict,
)
from datascaler.evaluate.evalset import open_evalset
from datascaler.models.loaded import LoadedClip
from tests.evaluate.sets import CLASSES, TEMPLATES, labelled, tar_of, write_set
from tests.tiny_clip import tiny_loaded_clip


def test_weights_are_the_unit_mean_of_unit_prompt_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_loaded_clip(0)
    monkeypatch.setattr(embed, "TEXT_BATCH", 5)
    weights = classifier_weights(model, CLASSES, TEMPLATES).numpy()
    assert weights.shape == (32, len(CLASSES))
    text_tower: Any = model.model
    for number, name in enumerate(CLASSES):
        prompts = [f"a photo of a {name}.", f"an image of the {name}"]
        with torch.no_grad():
            vectors = text_tower.encode_text(model.tokenize(prompts)).double().numpy()
        mean = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).mean(axis=0)
        np.testing.assert_allclose(weights[:, number], mean / np.linalg.norm(mean), atol=1e-6)


def test_braces_in_a_class_name_are_only_text() -> None:
    model = tiny_loaded_clip(0)
    names = ("{0} {x}", "plain")
    expected = model.embed_texts(model.tokenize(["a {0} {x}", "a plain"]))
    torch.testing.assert_close(classifier_weights(model, names, ["a {c}"]).T, expected)


@pytest.mark.parametrize("classes", [5, 7, 40])
def test_metrics_equal_scikit_learns(classes: int) -> None:
    rng = np.random.default_rng(classes)
    features = torch.from_numpy(rng.normal(size=(200, 16)).astype(np.float32))
    weights = torch.from_numpy(rng.normal(size=(16, classes)).astype(np.float32))
    # The last class never occurs.
    labels = rng.integers(0, classes - 1, 200)
    predictions, ranks = predict(features, weights, labels.tolist())
    metrics = classification_metrics(labels, np.array(ranks), classes=classes)
    logits = (features @ weights).numpy()
    assert predictions == logits.argmax(axis=1).tolist()
    for cut, name in ((1, "acc1"), (5, "acc5")):
        expected = top_k_accuracy_score(labels, logits, k=cut, labels=np.arange(classes)) if cut < classes else 1.0
        assert metrics[name] == pytest.approx(expected)
    # A prediction outside the true classes makes scikit-learn warn, and changes no recall: any wrong class will do.
    known = np.where(np.isin(predictions, labels), predictions, (labels + 1) % (classes - 1))
    assert metrics["mean_per_class_recall"] == pytest.approx(balanced_accuracy_score(labels, known))


def test_equal_logits_go_to_the_lower_class() -> None:
    predictions, ranks = predict(torch.ones(3, 2), torch.ones(2, 6), [0, 3, 5])
    assert (predictions, ranks) == ([0, 0, 0], [1, 4, 6])


def test_acc5_is_null_below_five_classes_and_everything_without_images() -> None:
    few = classification_metrics(np.array([0, 1]), np.array([1, 2]), classes=4)
    assert few == {"acc1": 0.5, "acc5": None, "mean_per_class_recall": 0.5}
    none = classification_metrics(np.array([], dtype=np.int64), np.array([], dtype=np.int64), classes=9)
    assert set(none.values()) == {None}


@pytest.mark.parametrize(
    ("classnames", "templates"),
    [
        ("red square\n\nblue square\n\ndark square\r\nlight square\n", "a photo of a {c}.\n"),
        ("\nred square\ngreen square\nblue square\ndark square\nlight square", "a {c}\n\nan image of the {c}\n"),
        ("\ufeffred\tsquare \n green square\nblue square\ndark square\nlight square\n\n", "a {c}"),
    ],
    ids=["blank between", "blank first, blank template", "byte order mark, blank last"],
)
def test_blank_lines_keep_their_number_as_in_datacomps_code(tmp_path: Path, classnames: str, templates: str) -> None:
    """The oracle reads the files and computes the predictions as CLIP_benchmark does, with the bare open_clip model."""
    model = tiny_loaded_clip(0)
    samples = labelled(24)
    write_set(str(tmp_path), samples)
    (tmp_path / "classnames.txt").write_text(classnames, newline="")
    (tmp_path / "zeroshot_classification_templates.txt").write_text(templates, newline="")
    names, prompts = (
        [line.strip() for line in (tmp_path / name).read_text("utf-8-sig").splitlines()]
        for name in ("classnames.txt", "zeroshot_classification_templates.txt")
    )
    assert len(names) == 6
    bare: Any = model.model
    with torch.no_grad():
        texts = [bare.encode_text(model.tokenize([prompt.format(c=name) for prompt in prompts])) for name in names]
        means = [torch.nn.functional.normalize(text, dim=-1).mean(dim=0) for text in texts]
        columns = torch.stack([mean / mean.norm() for mean in means], dim=1)
        pictures = [Image.open(io.BytesIO(next(iter(sample.values())))).convert("RGB") for sample in samples]
        images = bare.encode_image(torch.stack([model.preprocess(picture) for picture in pictures]))
        expected = (100 * torch.nn.functional.normalize(images, dim=-1) @ columns).argmax(dim=1).tolist()
    # Labels after a blank line, so that a shift would show.
    for sample, label in zip(samples, expected[::-1], strict=True):
        sample["cls"] = str(label).encode()
    storage.publish_bytes(str(tmp_path / "test/0.tar"), tar_of(samples[:12]))
    storage.publish_bytes(str(tmp_path / "test/1.tar"), tar_of(samples[12:], 12))
    outcome = classify(model, open_evalset(str(tmp_path)), batch_size=8, num_workers=1)
    assert outcome.samples["prediction"].to_pylist() == expected
    assert outcome.metrics["acc1"] == np.mean(np.array(expected) == expected[::-1])


@pytest.mark.parametrize(("batch_size", "num_workers"), [(1, 1), (4, 3), (64, 2)])
def test_a_set_is_classified_in_tar_order_whatever_the_batch(tmp_path: Path, batch_size: int, num_workers: int) -> None:
    model = tiny_loaded_clip(0)
    samples = labelled(13)
    write_set(str(tmp_path), samples)
    seen: list[int] = []
    evalset = open_evalset(str(tmp_path))
    outcome = classify(model, evalset, batch_size=batch_size, num_workers=num_workers, advance=seen.append)
    table = outcome.samples.to_pydict()
    labels = [int(sample["cls"]) for sample in samples]
    features = torch.cat(
        [batch.features for batch in embed.embed_samples(model, evalset.samples(), batch_size=13, num_workers=1)]
    )
    logits = (100 * features @ classifier_weights(model, CLASSES, TEMPLATES)).numpy()
    assert table["key"] == [f"s{number:07d}" for number in range(13)]
    assert table["label"] == labels
    assert table["prediction"] == logits.argmax(axis=1).tolist()
    assert table["correct"] == (logits.argmax(axis=1) == labels).tolist()
    assert outcome.metrics["acc1"] == pytest.approx(np.mean(table["correct"]))
    assert outcome.metrics["acc5"] == pytest.approx(top_k_accuracy_score(labels, logits, k=5, labels=np.arange(6)))
    assert (outcome.images, outcome.bad_images, sum(seen)) == (13, 0, 13)
    shares = np.exp(logits.astype(np.float64)) / np.exp(logits.astype(np.float64)).sum(axis=1, keepdims=True)
    for row, label in enumerate(labels):
        assert np.exp(table["log_probability"][row]) == pytest.approx(shares[row, label], rel=1e-3)
        best_other = np.delete(shares[row], label).max()
        assert table["margin"][row] == pytest.approx(shares[row, label] - best_other, abs=1e-4)


def test_broken_images_are_rows_that_enter_no_metric(tmp_path: Path) -> None:
    model = tiny_loaded_clip(0)
    samples = labelled(6)
    whole = [number for number in range(6) if number not in (1, 2, 4)]
    write_set(str(tmp_path / "whole"), [samples[number] for number in whole])
    samples[1] = {"png": b"no picture", "cls": b"0"}
    samples[2] = {"cls": b"1"}
    samples[4] = {"jpg": next(iter(samples[4].values()))[:100], "cls": b"2"}
    write_set(str(tmp_path / "broken"), samples)
    broken, clean = (
        classify(model, open_evalset(str(tmp_path / name)), batch_size=2, num_workers=2) for name in ("broken", "whole")
    )
    assert broken.metrics == clean.metrics
    assert (broken.images, broken.bad_images) == (3, 3)
    table = broken.samples.to_pydict()
    for column in ("prediction", "correct", "rank", "log_probability", "margin"):
        assert [value is None for value in table[column]] == [number not in whole for number in range(6)]
    assert table["label"][1:3] == [0, 1]


def test_a_set_without_a_single_good_image_has_no_metrics(tmp_path: Path) -> None:
    write_set(str(tmp_path), [{"png": b"x", "cls": b"0"}], shards=1)
    outcome = classify(tiny_loaded_clip(0), open_evalset(str(tmp_path)), batch_size=2, num_workers=1)
    assert outcome.metrics == {"acc1": None, "acc5": None, "mean_per_class_recall": None}
    assert outcome.samples.num_rows == outcome.bad_images == 1


def test_a_model_that_diverged_is_an_error() -> None:
    good = tiny_loaded_clip(0)
    bad = SimpleNamespace(tokenize=good.tokenize, embed_texts=lambda tokens: torch.full((len(tokens), 4), torch.nan))
    with pytest.raises(DatascalerError, match="text embeddings are not finite"):
        classifier_weights(cast(LoadedClip, bad), CLASSES, TEMPLATES)


def test_of_classes_of_one_name_the_lowest_is_predicted_whatever_the_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same text in other case and with other blanks too; prompts of many lengths, so that batches differ."""
    monkeypatch.setattr(embed, "TEXT_BATCH", 7)
    model = tiny_loaded_clip(0)
    names = [f"thing number {number} {'of many ' * (number % 4)}" for number in range(60)]
    pictures = [Image.open(io.BytesIO(next(iter(sample.values())))).convert("RGB") for sample in labelled(20)]
    features = model.embed_images(torch.stack([model.preprocess(picture) for picture in pictures]))
    top = int((features @ classifier_weights(model, names, TEMPLATES)).argmax(dim=1).mode().values)
    for number, twin in ((7, names[top]), (31, names[top].upper()), (55, f" {names[top]}".replace(" ", "  "))):
        names[number] = twin
    twins = sorted({7, 31, 55, top})
    same = namesakes(model, names, TEMPLATES)
    assert [number for number in range(60) if same[number] == twins[0]] == twins
    assert [number for number in range(60) if same[number] != number] == twins[1:]
    weights = classifier_weights(model, names, TEMPLATES, same)
    assert all(torch.equal(weights[:, number], weights[:, twins[0]]) for number in twins)
    predictions, ranks = predict(features, weights, [55] * 20, same)
    assert set(twins).intersection(predictions) == {twins[0]}
    place = twins.index(55) + 1
    assert {rank for said, rank in zip(predictions, ranks, strict=True) if said == twins[0]} == {place}
