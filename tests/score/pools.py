"""A pool with every kind of trouble in it, its right scores by a plain open_clip loop, and what scoring left behind."""

import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import open_clip
import pyarrow.parquet as pq
import torch
from PIL import Image

from datascaler import storage
from datascaler.data.pool import samples as status
from datascaler.score.score_summary import ScoreSummary
from datascaler.spec.score import ScoreSpec
from tests.data.tars import members_of, picture, shard_of

NO_UID = b'{"uid": "none"}'


def good(number: int) -> dict[str, bytes]:
    return members_of(number, caption=f"a picture of thing number {number}")


BAD: dict[str, dict[str, bytes]] = {
    status.NO_IMAGE: {"json": good(50)["json"], "txt": b"no image"},
    status.EMPTY_IMAGE: good(51) | {"png": b""},
    status.BAD_IMAGE: good(52) | {"png": picture(52)[:60]},
    status.BAD_CAPTION: good(53) | {"txt": b"\xff\xfe"},
    status.BAD_JSON: good(54) | {"json": b"{"},
    status.NO_UID: good(55) | {"json": NO_UID},
}
DAMAGED = shard_of([good(60), good(61)])[:-4000]

SHARDS: dict[str, bytes] = {
    "00000000": shard_of(map(good, range(7))),
    "00000001": shard_of([good(10), *BAD.values(), good(11)]),
    "00000002": shard_of([]),
    "00000003": shard_of([good(20)]),
    "00000004": shard_of(map(good, range(30, 35))),
}
GOOD: dict[str, dict[int, int]] = {
    "00000000": {row: row for row in range(7)},
    "00000001": {0: 10, 7: 11},
    "00000002": {},
    "00000003": {0: 20},
    "00000004": {row: 30 + row for row in range(5)},
}
"""Shard -> row -> number of its good sample."""


def make_pool(url: str, shards: Mapping[str, bytes] = SHARDS) -> str:
    for name, content in shards.items():
        storage.publish_bytes(f"{url}/shards/{name}.tar", content)
    return url


def plain_scores(local_dir: str, numbers: Iterable[int]) -> dict[int, float]:
    """Image by image: the cosine of its embedding and its caption's."""
    model, preprocess = open_clip.create_model_from_pretrained(local_dir)
    tokenizer = open_clip.get_tokenizer(local_dir)
    scores = {}
    with torch.no_grad():
        for number in numbers:
            members = good(number)
            image = preprocess(Image.open(io.BytesIO(members["png"])).convert("RGB"))[None]
            image_features = model.encode_image(image)[0]
            text_features = model.encode_text(tokenizer([members["txt"].decode()]))[0]
            product = (image_features * text_features).sum()
            scores[number] = float(product / (image_features.norm() * text_features.norm()))
    return scores


def spec_of(pool: str, output_dir: object, model: str, **options: Any) -> ScoreSpec:
    values = {"method": "clip", "pretrained": None, "batch_size": 3, "num_workers": 2, **options}
    return ScoreSpec(data_dir=pool, output_dir=str(output_dir), model=model, **values)


def tables_in(summary_or_folder: ScoreSummary | str) -> dict[str, bytes]:
    """Name below the folder -> the table's bytes."""
    folder = summary_or_folder if isinstance(summary_or_folder, str) else summary_or_folder.tables
    infos = storage.list_files(folder, ".parquet", recursive=True)
    return {storage.relative_to(info.url, folder): storage.read_bytes(info.url) for info in infos}


def content_in(summary_or_folder: ScoreSummary | str) -> dict[str, tuple[Any, ...]]:
    """Name -> all of the table but how long it took: columns, scores bit for bit, and the footer."""
    contents = {}
    for name, encoded in tables_in(summary_or_folder).items():
        table = pq.read_table(io.BytesIO(encoded))
        footer = storage.checked(json.loads(table.schema.metadata[b"datascaler"]), name)
        scores = table["score"].to_numpy().tobytes()
        contents[name] = (table.drop(["score"]).to_pydict(), scores, footer | {"seconds": 0, "finished": ""})
    return contents


def only_folder(output_dir: Path) -> str:
    (folder,) = storage.list_folders(f"{output_dir}/scores")
    return folder
