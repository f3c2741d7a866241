"""The scores of 200 samples are those of open_clip by itself, one by one, whatever the lengths of their captions."""

import io
import random
from pathlib import Path

import open_clip
import pytest
import torch
from PIL import Image

from datascaler.data.tables.score_table import read_table
from datascaler.models.arch import register_configs
from datascaler.score.score_pool import score_pool
from tests.data.tars import members_of, shard_of
from tests.natural import encoded, natural_picture
from tests.score.pools import make_pool, spec_of
from tests.tiny_clip import save_local_dir

ROWS, SHARDS = 50, 4
FORMATS = [("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp"), ("JPEG", "jpg")]
WORDS = ("a", "photo", "of", "red", "house", "by", "BEAUTIFUL", "Vintage", "1987", "café", "日本", ":)", "-")


def sample(number: int) -> dict[str, bytes]:
    generator = random.Random(number)
    length = generator.choice([0, 1, 3, 8, 8, 15, 30, 90])
    members = members_of(number, caption=" ".join(generator.choices(WORDS, k=length)))
    format_, suffix = FORMATS[number % len(FORMATS)]
    size = generator.randint(20, 150), generator.randint(20, 150)
    del members["png"]
    return members | {suffix: encoded(natural_picture(*size, seed=number % 20), format_)}


def weights_of(arch: str, folder: Path) -> tuple[str, str | None]:
    """model, pretrained"""
    if arch == "tiny":
        return save_local_dir(f"{folder}/tiny", seed=3), None
    register_configs()
    torch.manual_seed(0)
    path = folder / "weights.pt"
    torch.save(open_clip.create_model(arch, pretrained=None).state_dict(), path)
    return arch, str(path)


@pytest.mark.parametrize("arch", ["tiny", "ViT-Mini-8-48"])
def test_scores_are_those_of_open_clip(tmp_path: Path, arch: str) -> None:
    samples = [sample(number) for number in range(ROWS * SHARDS)]
    shards = {f"{shard}": shard_of(samples[shard * ROWS : (shard + 1) * ROWS]) for shard in range(SHARDS)}
    model, pretrained = weights_of(arch, tmp_path)
    pool = make_pool(f"{tmp_path}/pool", shards)
    tables = score_pool(spec_of(pool, tmp_path / "out", model, pretrained=pretrained, batch_size=32)).tables

    network, preprocess = open_clip.create_model_from_pretrained(model, pretrained)
    tokenizer = open_clip.get_tokenizer(model)
    for shard in range(SHARDS):
        scores = read_table(f"{tables}/shards/{shard}.parquet", ["score"])[0]["score"].to_pylist()
        assert len(scores) == ROWS
        for members, ours in zip(samples[shard * ROWS : (shard + 1) * ROWS], scores, strict=True):
            (content,) = (members[suffix] for suffix in ("jpg", "png", "webp") if suffix in members)
            with torch.no_grad():
                image = network.encode_image(preprocess(Image.open(io.BytesIO(content)).convert("RGB"))[None])
                text = network.encode_text(tokenizer([members["txt"].decode()]))
            assert ours == pytest.approx(float(torch.cosine_similarity(image, text)), abs=1e-5)
