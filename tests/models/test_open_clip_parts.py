"""What a worker imports: torch, and little more."""

import json
import subprocess
import sys

CODE = """
import json, sys
import torch
before = len(sys.modules)
import datascaler.score.score_with_model, datascaler.train.train_clip, datascaler.train.loading.batches
print(json.dumps([len(sys.modules) - before, sorted(sys.modules)]))
"""
UNASKED = {
    *("torch._dynamo", "torch._inductor", "sympy", "timm", "huggingface_hub", "torchvision.models", "torchvision.io"),
    *("torchvision", "open_clip", "open_clip.push_to_hf_hub", "cv2", "onnxruntime", "pandas", "matplotlib"),
}


def test_workers_import_what_they_need() -> None:
    said = subprocess.run([sys.executable, "-c", CODE], check=True, capture_output=True, text=True).stdout
    added, loaded = json.loads(said)
    assert not UNASKED & set(loaded)
    assert {"open_clip.factory", "torchvision.transforms"} <= set(loaded)
    # torch alone has 1,200; with all that open_clip and torchvision import for others there were 1,600 more.
    assert added < 450
