"""What a reader of the guides has at hand: a pool, a model, finished runs; and examples made small enough to run."""

import csv
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from datascaler import storage
from datascaler.data.pool.parquet import read_parquet
from datascaler.data.select.select_subset import select_subset
from datascaler.data.subset.subset import read_subset, write_subset
from datascaler.spec.train import datacomp_recipe
from datascaler.train.train_clip import train_clip
from tests.evaluate.sets import picture
from tests.library_folder import make_library_folder
from tests.tiny_clip import WIDTH

SMALL_MODEL = "local-dir:model"
SMALL_RECIPE = {
    "model_arch": "ViT-Micro-12-48",
    "batch_size": "4",
    "train_num_samples": "8",
    "warmup": "1",
    "num_workers": "0",
}
"""In place of those of DataComp's scales."""
_SMALLER = {
    # A folder for each bucket.
    r"status s3://": "status ./",
    r"s3://": "",
    # The models that would be downloaded.
    r"--arch b32|--model ViT-B-32 --pretrained openai": f"--model {SMALL_MODEL}",
    r'arch="b32"': f'model="{SMALL_MODEL}"',
    # Sizes.
    r"--nproc-per-node \d+": "",
    r"128M": "40 --batch-size 4",
    r"--eval-every 1M": "--eval-every 4",
    r"--branch-at 4M,8M,16M": "--branch-at 4,8",
    r"--tasks imagenet1k": "--tasks cifar10",
    r"global_batch_size=4096": "global_batch_size=4",
    r"(epoch in range\((?:dataset\.epoch, )?)10": r"\g<1>1",
}


def smaller(text: str) -> str:
    """The example as it is run here."""
    for pattern, place in _SMALLER.items():
        text = re.sub(pattern, place, text)
    return text


def make_readers_folder(folder: Path) -> None:
    """`bucket/` and, for examples that begin at the bucket, `pool/` and others beside it; what they name is there."""
    make_library_folder(folder)
    (folder / "bucket").mkdir()
    for name in ("pool", "scored", "evalsets", "ladder"):
        shutil.copytree(folder / name, folder / "bucket" / name)
    shutil.copytree(folder / "scored", folder / "bucket" / "out")
    select_subset(str(folder / "bucket" / "scored"), method="clip", fraction=0.3, formats=("npy",))
    _add_shipped_scores(folder / "pool" / "metadata" / "pool.parquet")
    scored = storage.join(str(folder), "scored", "subsets", "clip-f0.5.npy")
    uids = read_subset(scored)
    for name, kept in (("a", uids), ("b", uids[::2]), ("clip", uids), ("dfn", uids[1:]), ("published", uids[3:])):
        write_subset(str(folder / name), kept)
    _add_photos(folder)
    (folder / "imagenet").mkdir()
    np.save(folder / "imagenet" / "train.npy", np.random.default_rng(0).normal(size=(10, WIDTH)).astype(np.float32))
    _add_runs(folder)


def _add_runs(folder: Path) -> None:
    """Runs of the same model, by the names that the pages give them."""
    given = {name: value for name, value in SMALL_RECIPE.items() if name != "warmup"}
    spec = datacomp_recipe(
        "small",
        data_dir=str(folder / "pool"),
        output_dir=str(folder / "runs"),
        use_mup=True,
        **{name: int(value) if value.isdigit() else value for name, value in given.items()},
    )
    summary = train_clip(spec)
    assert summary
    for name in ("a", "b", "small/none-f1.0/RUN"):
        shutil.copytree(summary.run, folder / "bucket" / "runs" / name)
    shutil.rmtree(folder / "runs")


def _add_photos(folder: Path) -> None:
    photos = folder / "photos"
    with (folder / "captions.csv").open("w", newline="") as table:
        rows = csv.writer(table)
        rows.writerow(["file", "caption"])
        for number in range(8):
            name = f"{'cats' if number % 2 else 'dogs'}/{number}.png"
            (photos / name).parent.mkdir(parents=True, exist_ok=True)
            (photos / name).write_bytes(picture(number))
            rows.writerow([name, f"a photo of animal number {number}"])


def _add_shipped_scores(metadata: Path) -> None:
    """The columns that DataComp's own metadata has."""
    table = read_parquet(str(metadata))
    scores = pa.array(np.random.default_rng(0).random(table.num_rows))
    pq.write_table(table.append_column("clip_l14_similarity_score", scores), metadata)
