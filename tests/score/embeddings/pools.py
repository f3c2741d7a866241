"""A scored pool with embeddings beside its tables, and its vectors as plain numpy has them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from click.testing import CliRunner
from numpy.typing import NDArray

from datascaler import storage
from datascaler.cli.main import cli
from datascaler.data.pool.samples import BAD_IMAGE, OK, Sample
from datascaler.data.pool.shard_list import frozen_shards
from datascaler.data.pool.uids import split_uid
from datascaler.data.tables.score_table import index_footer, read_table, table_url, write_table
from tests.data.made_tables import uids_of

Matrix = NDArray[np.float64]
SCORE_ID = "clip-tiny-00000000"
WIDTH = 16
COLUMNS = ["uid_high", "uid_low", "key", "offset", "length", "status", "score"]


def units(vectors: NDArray[Any]) -> Matrix:
    wide: Matrix = vectors.astype(np.float64)
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    return wide


def random_units(rows: int, seed: int, width: int = WIDTH) -> Matrix:
    return units(np.random.default_rng(seed).normal(size=(rows, width)))


@dataclass(frozen=True)
class Pool:
    """Rows of status ok, shard after shard."""

    out: str
    images: Matrix
    texts: Matrix
    scores: Matrix
    uids: list[str]


def make_pool(
    folder: str,
    images: Mapping[str, Matrix],
    bad: Mapping[str, int] | None = None,
) -> Pool:
    """Shards by name with these image vectors; `bad` names shards and the row in each that is no good picture."""
    out = f"{folder}/out"
    for name in images:
        storage.publish_bytes(f"{folder}/pool/{name}.tar", name.encode() * 512)
    good: list[tuple[Matrix, Matrix, Matrix, list[str]]] = []
    for number, shard in enumerate(frozen_shards(out, f"{folder}/pool")):
        image = images[shard.name.removesuffix(".tar")].astype(np.float16)
        # The caption's vector leans towards the picture's, as a real one does.
        text = units(0.3 * image + random_units(len(image), 100 + number, image.shape[1])).astype(np.float16)
        scores = (units(image) * units(text)).sum(axis=1)
        uids = uids_of(len(image), seed=number)
        is_ok = np.ones(len(image), dtype=bool)
        if bad and shard.name.removesuffix(".tar") in bad:
            is_ok[bad[shard.name.removesuffix(".tar")]] = False
        image[~is_ok], text[~is_ok], scores[~is_ok] = 0, 0, np.nan
        samples = [
            Sample(row=row, key=f"{row:04d}", offset=row * 512, length=512, uid=split_uid(uid), status=status)
            for row, (uid, status) in enumerate(zip(uids, np.where(is_ok, OK, BAD_IMAGE).tolist(), strict=True))
        ]
        url = table_url(f"{out}/scores/{SCORE_ID}", shard)
        footer = replace(index_footer(shard), score_id=SCORE_ID, method="clip", model="tiny", weights_hash="w")
        write_table(url, footer, samples, scores.tolist())
        save_npz(npz_of(url), img=image, txt=text)
        rows = np.flatnonzero(is_ok)
        good.append((units(image[rows]), units(text[rows]), scores[rows], [uids[row] for row in rows]))
    image_parts, text_parts, score_parts, uid_parts = zip(*good, strict=True)
    return Pool(
        out,
        np.concatenate(image_parts),
        np.concatenate(text_parts),
        np.concatenate(score_parts),
        [uid for part in uid_parts for uid in part],
    )


def small_pool(folder: str) -> Pool:
    """Three shards of 9, 5 and 12 rows; row 3 of the second is bad."""
    images = {"a": random_units(9, 0), "b": random_units(5, 1), "c": random_units(12, 2)}
    return make_pool(folder, images, bad={"b": 3})


def npz_of(table: str) -> str:
    return table.removesuffix(".parquet") + ".npz"


def save_npz(url: str, *, compressed: bool = False, **arrays: NDArray[Any]) -> None:
    with storage.publish(url) as file:
        save: Any = np.savez_compressed if compressed else np.savez
        save(file, **arrays)


def run(pool: Pool | str, method: str, *options: str, embeddings: str | None = SCORE_ID) -> dict[str, Any]:
    """The summary of a `score` command that ends well."""
    out = pool if isinstance(pool, str) else pool.out
    where = ["--embeddings", embeddings] if embeddings else []
    arguments = ["score", "--output-dir", out, "--method", method, *where, *options, "--json"]
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    summary: dict[str, Any] = json.loads(result.stdout)
    return summary


def fails(pool: Pool | str, method: str, *options: str) -> tuple[BaseException | None, str]:
    """The exception of a `score` command, and what it printed."""
    out = pool if isinstance(pool, str) else pool.out
    result = CliRunner().invoke(cli, ["score", "--output-dir", out, "--method", method, *options])
    assert result.exit_code != 0
    return result.exception, result.stderr


def is_usage_error(pool: Pool | str, method: str, *options: str) -> str:
    """What a `score` command with a wrong flag prints."""
    raised, printed = fails(pool, method, *options)
    assert isinstance(raised, SystemExit)
    assert raised.code == 2
    return printed


def scores_in(tables: str, columns: list[str] | None = None) -> dict[str, Any]:
    """Columns over all tables, in the order of the shards' names."""
    urls = [info.url for info in storage.list_files(tables, ".parquet", recursive=True)]
    found = [read_table(url, columns or COLUMNS)[0].to_pydict() for url in urls]
    return {name: [value for each in found for value in each[name]] for name in found[0]}


def good_scores(tables: str) -> NDArray[np.float64]:
    """[rows of status ok]"""
    columns = scores_in(tables)
    return np.array(
        [score for score, status in zip(columns["score"], columns["status"], strict=True) if status == OK], np.float64
    )
