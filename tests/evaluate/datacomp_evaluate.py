"""What DataComp's evaluate.py does with a folder, by its rules at commit 4a8df19, in code of its own.

1. `info.pkl` of --train_output_dir is unpickled: the architecture is `scale_config.model`, the weights `checkpoint`.
2. Where that path does not exist, `checkpoints/epoch_latest.pt` of the folder is taken.
3. `open_clip.create_model_and_transforms(architecture, pretrained=str(checkpoint))`, in eval mode, and
   `open_clip.get_tokenizer(architecture)`: nothing is registered before.
4. A class's weight is the unit mean of its prompts' unit vectors; logits are 100 times the cosine.
5. Lines of `eval_results.jsonl` in --output_dir are results that are not made again, if their key is in the task list.
"""

import io
import pickle
import tarfile
from pathlib import Path
from typing import Any

import open_clip
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize


def open_run(folder: Path) -> tuple[Any, Any, Any]:
    """Model, image transform and tokenizer."""
    info = pickle.loads((folder / "info.pkl").read_bytes())
    arch, checkpoint = info["scale_config"]["model"], Path(info["checkpoint"])
    if not checkpoint.exists():
        checkpoint = folder / "checkpoints" / "epoch_latest.pt"
    model, _, transform = open_clip.create_model_and_transforms(arch, pretrained=str(checkpoint))
    return model.eval(), transform, open_clip.get_tokenizer(arch)


@torch.no_grad()
def classified(opened: tuple[Any, Any, Any], evalset: Path) -> tuple[Tensor, Tensor]:
    """The logits [n, classes] of the images of a set in the order of its tars, and their classes."""
    model, transform, tokenizer = opened
    names = (evalset / "classnames.txt").read_text().splitlines()
    templates = (evalset / "zeroshot_classification_templates.txt").read_text().splitlines()
    weights = [
        _class_vector(model, tokenizer([each.replace("{c}", name.strip()) for each in templates])) for name in names
    ]
    images, labels = [], []
    for number in range(int((evalset / "test/nshards.txt").read_text())):
        with tarfile.open(evalset / f"test/{number}.tar") as tar:
            for member in tar:
                file = tar.extractfile(member)
                assert file
                if member.name.endswith(".cls"):
                    labels.append(int(file.read()))
                else:
                    images.append(transform(Image.open(io.BytesIO(file.read())).convert("RGB")))
    features = normalize(model.encode_image(torch.stack(images)), dim=-1)
    return 100 * features @ torch.stack(weights).T, torch.tensor(labels)


def _class_vector(model: Any, tokens: Tensor) -> Tensor:
    return normalize(normalize(model.encode_text(tokens), dim=-1).mean(dim=0), dim=0)
