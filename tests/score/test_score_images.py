"""Scores in memory are those that tables have."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datascaler.data.tables.open_pool import open_pool
from datascaler.errors import ConfigError
from datascaler.models.load import load_clip
from datascaler.score.score_images import score_images
from datascaler.score.score_pool import score_pool
from tests.score.pools import make_pool, spec_of
from tests.tiny_clip import save_local_dir, tiny_loaded_clip


def test_they_are_the_scores_of_the_tables(tmp_path: Path) -> None:
    url, model = make_pool(f"{tmp_path}/pool"), save_local_dir(f"{tmp_path}/model")
    summary = score_pool(spec_of(url, tmp_path / "out", model))
    pool = open_pool(url)
    table = pool.read_scores(f"{tmp_path}/out", summary.score_id)
    samples = list(pool.samples())
    assert [sample.uid_hex for sample in samples] == table["uid"].to_pylist()
    assert table["shard"].to_pylist()[:8] == ["shards/00000000.tar"] * 7 + ["shards/00000001.tar"]
    usable = [row for row, sample in enumerate(samples) if sample.image and sample.caption]
    expected = table["score"].to_numpy()[usable]
    ok = np.array(table["status"].to_pylist())[usable] == "ok"
    images, captions = [samples[row].image for row in usable], [samples[row].caption for row in usable]

    encoded = score_images(images, captions, model=model, batch_size=3)
    assert np.allclose(encoded[ok], expected[ok], atol=1e-6)
    whole = [row for row, good in enumerate(ok) if good]
    opened = [Image.open(io.BytesIO(images[row])) for row in whole]
    clip = load_clip(model)
    decoded = score_images(opened, [captions[row] for row in whole], model=clip)
    assert np.allclose(decoded, expected[ok], atol=1e-6)


def test_what_has_no_score_is_nan() -> None:
    scores = score_images([b"no image", Image.new("RGBA", (40, 30))], ["a", "b"], model=tiny_loaded_clip())
    assert np.isnan(scores[0])
    assert abs(scores[1]) <= 1
    assert len(score_images([], [], model=tiny_loaded_clip())) == 0
    with pytest.raises(ConfigError, match="1 images need as many captions, got 2"):
        score_images([b""], ["a", "b"], model=tiny_loaded_clip())


def test_one_sample_is_read_by_its_row(tmp_path: Path) -> None:
    url = make_pool(f"{tmp_path}/pool")
    pool = open_pool(url)
    for shard in pool.shards:
        for sample in pool.samples(shard.name):
            assert pool.read_sample(shard.name, sample.offset, sample.length).uid == sample.uid
    with pytest.raises(ConfigError, match=r"has no shard 'x\.tar'; its first is shards/00000000\.tar"):
        next(pool.samples("x.tar"))
    with pytest.raises(ConfigError, match="must hold one score-id, or name one of them"):
        pool.read_scores(f"{tmp_path}/out")
