"""A program that uses open_clip and torchvision beside us has all of them, with the classes that we have."""

import subprocess
import sys

import pytest

# Runs in a process of its own, in which nothing has been imported yet.
PROGRAM = """
import pickle, sys
import torch
from datascaler.models.build import build_clip
from datascaler.models.open_clip_parts import CLIP, Compose, Normalize, QuickGELU, factory

assert "open_clip" not in sys.modules and "torchvision" not in sys.modules and "timm" not in sys.modules
transform = Compose([Normalize(0.5, 0.5)])
assert type(pickle.loads(pickle.dumps(transform))) is Compose

clip = build_clip("ViT-Micro-12-48").model
images, tokens = torch.zeros(1, 3, 48, 48), torch.zeros(1, clip.context_length, dtype=torch.long)
before = clip.encode_image(images)
assert type(pickle.loads(pickle.dumps(clip))) is CLIP
compiled = torch.compile(clip.visual, backend="eager", fullgraph=True)
assert torch.allclose(compiled(images), before, atol=1e-6)

# A tower of timm's, whose library is imported now.
tower = factory.create_model("ViT-B-16-SigLIP", pretrained=None)
assert type(tower.visual).__name__ == "TimmModel" and "timm" in sys.modules
import timm
assert sys.modules["open_clip.timm_model"].timm.create_model is timm.create_model

import open_clip, open_clip.transformer, torchvision, torchvision.ops.misc
from open_clip import *
import torchvision.transforms.functional as functional
assert open_clip.CLIP is open_clip.model.CLIP is CLIP and open_clip.factory is factory
assert torchvision.transforms.Compose is Compose and torchvision.ops.misc is sys.modules["torchvision.ops.misc"]
assert torchvision.ops.FrozenBatchNorm2d is torchvision.ops.misc.FrozenBatchNorm2d
assert open_clip.utils.FrozenBatchNorm2d is torchvision.ops.FrozenBatchNorm2d
boxes, scores = torch.tensor([[0., 0, 2, 2], [0, 0, 2, 2.1]]), torch.tensor([1., 0.5])
assert torchvision.ops.nms(boxes, scores, 0.5).tolist() == [0]
torchvision.ops.roi_align(torch.zeros(1, 1, 8, 8), [boxes], 2)
assert torchvision.models.resnet18().fc.out_features == 1000
print(open_clip.__version__, torchvision.__version__, *NAMES())
"""
NAMES = """
def NAMES():
    import sys
    for package in ("open_clip", "torchvision", "torchvision.ops", "torchvision.transforms", "timm"):
        yield package + ":" + ",".join(sorted(name for name in vars(sys.modules[package]) if not name.startswith("__")))
"""
ORDINARY = """
import open_clip, torchvision, timm, open_clip.transformer, torchvision.ops.misc
print(open_clip.__version__, torchvision.__version__, *NAMES())
"""


def said(program: str) -> list[str]:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", NAMES + program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.slow
def test_open_clip_and_torchvision_are_whole_for_others() -> None:
    assert said(PROGRAM) == said(ORDINARY)
