"""Recalls against a brute-force count."""

from pathlib import Path

import numpy as np
import pytest
import torch

from datascaler.evaluate import embed
from datascaler.evaluate import retrieve as module
from datascaler.evaluate.embed import embed_samples
from datascaler.evaluate.evalset import open_evalset
from datascaler.evaluate.retrieve import ranks, retrieval_metrics, retrieve
from tests.evaluate.sets import captioned, write_set
from tests.tiny_clip import tiny_loaded_clip


def _brute_force(images: np.ndarray, texts: np.ndarray, owner: np.ndarray) -> dict[str, float]:
    """The definition, one query at a time, on the full score matrix."""
    scores = texts @ images.T
    metrics = {}
    for cut in (1, 5, 10):
        image = [owner[text] in np.argsort(-scores[text], kind="stable")[:cut] for text in range(len(texts))]
        text = [
            bool(set(np.argsort(-scores[:, number], kind="stable")[:cut]) & set(np.flatnonzero(owner == number)))
            for number in range(len(images))
        ]
        metrics[f"image_retrieval_recall@{cut}"] = float(np.mean(image))
        metrics[f"text_retrieval_recall@{cut}"] = float(np.mean(text))
    metrics["mean_recall@1"] = (metrics["image_retrieval_recall@1"] + metrics["text_retrieval_recall@1"]) / 2
    return metrics


@pytest.mark.parametrize("block_rows", [1, 7, 512])
def test_blockwise_ranks_equal_brute_force(block_rows: int) -> None:
    rng = np.random.default_rng(block_rows)
    owner = np.repeat(np.arange(30), rng.integers(1, 6, 30))
    # Small integers: exact in any block shape, and full of ties.
    images = rng.integers(-2, 3, (30, 4)).astype(np.float32)
    texts = images[owner] + rng.integers(-1, 2, (len(owner), 4)).astype(np.float32)
    image_ranks, text_ranks = ranks(
        torch.from_numpy(images), torch.from_numpy(texts), torch.from_numpy(owner), block_rows=block_rows
    )
    assert len(image_ranks) == len(owner)
    assert retrieval_metrics(image_ranks, text_ranks) == pytest.approx(_brute_force(images, texts, owner))


def test_the_full_score_matrix_is_never_made(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []
    rank = module._rank

    def watched(scores: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
        rows.append(len(scores))
        return rank(scores, own)

    monkeypatch.setattr(module, "_rank", watched)
    ranks(torch.randn(40, 3), torch.randn(80, 3), torch.arange(40).repeat_interleave(2), block_rows=16)
    assert rows == [16] * 5 + [16, 16, 8]


def test_a_set_is_ranked_both_ways(tmp_path: Path) -> None:
    model = tiny_loaded_clip(0)
    write_set(str(tmp_path), captioned(12), dataset_type="retrieval")
    evalset = open_evalset(str(tmp_path))
    outcome = retrieve(model, evalset, batch_size=5, num_workers=2)
    from_set = list(evalset.samples())
    batches = embed_samples(model, from_set, batch_size=12, num_workers=1)
    images = torch.cat([batch.features for batch in batches]).numpy()
    texts = model.embed_texts(model.tokenize([text for sample in from_set for text in sample.captions])).numpy()
    assert outcome.metrics == pytest.approx(_brute_force(images, texts, np.repeat(np.arange(12), 3)))
    table = outcome.samples.to_pydict()
    assert outcome.metrics["text_retrieval_recall@5"] == pytest.approx(np.mean(np.array(table["rank"]) <= 5))
    assert outcome.metrics["image_retrieval_recall@5"] == pytest.approx(np.mean(np.array(table["caption_ranks"]) <= 5))
    assert table["key"] == [sample.key for sample in from_set]
    logits = 100 * (images @ texts.T).astype(np.float64)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    for number, (log_probability, margin) in enumerate(zip(table["log_probability"], table["margin"], strict=True)):
        own = np.repeat(np.arange(12), 3) == number
        assert np.exp(log_probability) == pytest.approx(shares[number, own].max(), rel=1e-3)
        assert margin == pytest.approx(shares[number, own].max() - shares[number, ~own].max(), abs=1e-4)


def test_a_broken_image_leaves_with_its_captions(tmp_path: Path) -> None:
    model = tiny_loaded_clip(0)
    samples = captioned(6, captions=2)
    write_set(str(tmp_path / "whole"), samples[:2] + samples[3:], dataset_type="retrieval")
    samples[2]["png"] = b"no picture"
    write_set(str(tmp_path / "broken"), samples, dataset_type="retrieval")
    broken, clean = (
        retrieve(model, open_evalset(str(tmp_path / name)), batch_size=3, num_workers=1) for name in ("broken", "whole")
    )
    assert broken.metrics == pytest.approx(clean.metrics)
    assert (broken.images, broken.bad_images) == (5, 1)
    table = broken.samples.to_pydict()
    assert table["rank"][2] is table["caption_ranks"][2] is None
    assert [len(own) for own in table["caption_ranks"] if own] == [2] * 5


def test_a_set_without_a_single_good_image_has_no_metrics(tmp_path: Path) -> None:
    write_set(str(tmp_path), [{"png": b"x", "txt": b"a thing"}], shards=1, dataset_type="retrieval")
    outcome = retrieve(tiny_loaded_clip(0), open_evalset(str(tmp_path)), batch_size=3, num_workers=1)
    assert set(outcome.metrics.values()) == {None}
    assert (outcome.images, outcome.bad_images, outcome.samples.num_rows) == (0, 1, 1)


def test_equal_captions_and_equal_images_have_equal_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A caption that two equal images share finds the first of them before the second, in whatever batches they are."""
    monkeypatch.setattr(embed, "TEXT_BATCH", 5)
    samples = captioned(23, captions=2)
    for number in range(0, 22, 2):
        samples[number + 1] = {"png": samples[number]["png"], "txt": samples[number]["txt"] + b" "}
    write_set(str(tmp_path), samples, dataset_type="retrieval")
    outcome = retrieve(tiny_loaded_clip(0), open_evalset(str(tmp_path)), batch_size=4, num_workers=1)
    ranks_of_captions = outcome.samples["caption_ranks"].to_pylist()
    for number in range(0, 22, 2):
        assert [rank + 1 for rank in ranks_of_captions[number]] == ranks_of_captions[number + 1]
    # For the images it is the captions that come twice, and either image's are its own.
    best = outcome.samples["rank"].to_pylist()
    assert all(best[number + 1] > best[number] for number in range(0, 22, 2))
