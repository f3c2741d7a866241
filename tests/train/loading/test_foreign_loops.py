"""PlanDataset in loops that are not ours: open_clip's, and the documentation's example."""

import argparse
import math
import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch

from datascaler import PlanDataset
from datascaler.models.arch import register_configs
from tests.tiny_clip import CONFIG, CONTEXT_LENGTH, IMAGE_SIZE
from tests.train.planned_data import SAMPLES, WANTED, local_pool

DOCS = Path(__file__).parents[3] / "docs" / "dataset.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
BATCH = 10


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    return local_pool(tmp_path_factory.mktemp("loops"))


class Losses(open_clip.ClipLoss):  # type: ignore[misc]
    """open_clip's, which also notes what it returned."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[float] = []

    def forward(self, *arguments: Any, **options: Any) -> Any:
        losses = super().forward(*arguments, **options)
        self.found += [each.item() for each in losses.values()]
        return losses


@pytest.mark.parametrize("num_workers", [0, 2])
def test_open_clips_own_training_loop(data: tuple[str, str], num_workers: int) -> None:
    torch.manual_seed(0)
    model = open_clip.CLIP(**CONFIG, output_dict=True)
    tokenizer = open_clip.SimpleTokenizer(context_length=CONTEXT_LENGTH)
    numbers = {tuple(row): number for number, row in enumerate(tokenizer(captions()).tolist())}
    seen: Counter[int] = Counter()
    encode_text = model.encode_text

    def noting(text: torch.Tensor, **options: Any) -> torch.Tensor:
        seen.update(numbers[tuple(row)] for row in text.tolist())
        return encode_text(text, **options)  # type: ignore[no-any-return]

    model.encode_text = noting
    transform = open_clip.image_transform(IMAGE_SIZE, is_train=True)
    dataset = PlanDataset(*data, global_batch_size=BATCH, transform=transform, tokenizer=tokenizer)
    loader = dataset.loader(num_workers)
    assert (loader.num_batches, loader.num_samples) == (len(loader), WANTED.total()) == (5, 50)
    args = argparse.Namespace(
        device="cpu",
        precision="fp32",
        distill=False,
        accum_freq=1,
        skip_scheduler=True,
        horovod=False,
        grad_clip_norm=None,
        log_every_n_steps=1,
        batch_size=BATCH,
        world_size=1,
        rank=0,
        local_rank=0,
        log_local=False,
        wandb=False,
        save_logs=False,
    )
    losses, optimizer = Losses(), torch.optim.AdamW(model.parameters(), lr=1e-3)
    names = {"loader": loader, "model": model, "loss": losses, "optimizer": optimizer, "args": args}
    for epoch in range(4):
        exec(compile(EXAMPLES[1], DOCS, "exec"), {**names, "epoch": epoch, "scaler": None, "scheduler": None})
        assert seen == Counter({number: times * (epoch + 1) for number, times in WANTED.items()})
    assert len(losses.found) == 20
    assert all(math.isfinite(loss) for loss in losses.found)


def test_a_loop_that_takes_batches_by_name(data: tuple[str, str]) -> None:
    """As the main branch of open_clip wants them: its tasks move each value of a dict to the device, and then ask for
    "image" and "text" (`TrainingTask.prepare_batch` of commit 1add3bd). Two loaders of the same plan train alike.
    """
    options: dict[str, Any] = {
        "global_batch_size": BATCH,
        "transform": open_clip.image_transform(IMAGE_SIZE, is_train=True),
        "tokenizer": open_clip.SimpleTokenizer(context_length=CONTEXT_LENGTH),
    }
    by_name, pairs = (PlanDataset(*data, as_dict=named, **options) for named in (True, False))
    runs = {"named": by_name.loader(0), "pairs": ({"image": i, "text": t} for i, t in _epochs(pairs.loader(0)))}
    losses: dict[str, list[float]] = {}
    for name, batches in runs.items():
        torch.manual_seed(0)
        model = open_clip.CLIP(**CONFIG, output_dict=True)
        optimizer, loss = torch.optim.AdamW(model.parameters(), lr=1e-3), open_clip.ClipLoss()
        losses[name] = []
        for batch in islice(_epochs(batches), 20):
            prepared = {
                key: value.to(device="cpu", dtype=torch.float32 if value.is_floating_point() else None)
                for key, value in batch.items()
            }
            optimizer.zero_grad()
            total = loss(**model(prepared["image"], prepared["text"]))
            total.backward()
            optimizer.step()
            losses[name].append(total.item())
    assert len(losses["named"]) == 20
    assert losses["named"] == losses["pairs"]


def _epochs(batches: Any) -> Iterator[Any]:
    while True:
        yield from batches


def captions() -> list[str]:
    return [f"caption {number}" for number in range(SAMPLES)]


def test_the_documentations_example(data: tuple[str, str]) -> None:
    """With a small model, batches and an epoch for its big ones."""
    register_configs()
    example = EXAMPLES[0]
    for theirs, ours in {
        "ViT-B-32": "ViT-Mini-8-48",
        "s3://out/subsets/clip-f0.3.plan": data[0],
        "s3://pool": data[1],
        "global_batch_size=4096": "global_batch_size=10",
        "num_workers=8": "num_workers=0",
        "range(dataset.epoch, 10)": "range(dataset.epoch, 1)",
        "def main():\n": "def main():\n    global dataset, features\n",
    }.items():
        assert theirs in example
        example = example.replace(theirs, ours)
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(example, DOCS, "exec"), names)
    assert names["dataset"].epoch == 1
    assert names["features"]["image_features"].shape == (10, 96)
