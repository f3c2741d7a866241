"""What a file is that was given as weights and holds none that can be read: named, with what to do about it."""

import re
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from datascaler.errors import NoWeightsError

TORCH_SUFFIXES = (".pt", ".pth", ".pth.tar", ".bin", ".ckpt")
WEIGHT_SUFFIXES = (*TORCH_SUFFIXES, ".safetensors", ".safetensors.index.json", ".bin.index.json")
"""How the names of weights files end; what is in them is told by their first bytes."""
_OTHER_SUFFIXES = {
    **dict.fromkeys((".h5", ".keras", ".tflite", ".pb"), "TensorFlow's"),
    **dict.fromkeys((".msgpack", ".orbax"), "Flax's"),
    **dict.fromkeys((".onnx", ".engine", ".trt", ".mlmodel", ".xml"), "a compiled model's"),
    **dict.fromkeys((".gguf", ".ggml"), "llama.cpp's, quantised"),
    **dict.fromkeys((".npz", ".npy"), "numpy's"),
    **dict.fromkeys((".distcp", ".metadata"), "a distributed checkpoint's"),
    **dict.fromkeys((".gz", ".zip", ".tar", ".tgz", ".zst", ".xz", ".7z"), "packed"),
}
_TAKE = "take the same model as open_clip publishes it (a tag, hf-hub: or a .safetensors file)"
_UNPACK = "unpack it, and give the weights file in it"
_AGAIN = "download it again, with what the site asks for"
_HEADS: tuple[tuple[bytes, str, str], ...] = (
    (b"version https://git-lfs", "a git-lfs pointer, not the weights themselves", "run `git lfs pull` where it lies"),
    (b"GGUF", "a quantised file of llama.cpp's (GGUF)", _TAKE),
    (b"\x89HDF\r\n", "an HDF5 file, as TensorFlow and Keras write", _TAKE),
    (b"\x93NUMPY", "an array of numpy's", _TAKE),
    (b"\x1f\x8b", "packed by gzip", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "packed by zstd", _UNPACK),
    (b"\xfd7zXZ", "packed by xz", _UNPACK),
    (b"BZh", "packed by bzip2", _UNPACK),
    (b"7z\xbc\xaf", "packed by 7z", _UNPACK),
    (b"Rar!", "packed by rar", _UNPACK),
    (b"<", "a web page or a server's answer, not the weights", _AGAIN),
    (b"{", "JSON, not weights", _AGAIN),
)
_TAR_MARK = (257, b"ustar")
_HEAD_BYTES = 512
_ZIP, _PICKLE = b"PK\3\4", b"\x80"

_LAYOUTS: tuple[tuple[str, str, str], ...] = (
    (r"lora_[AB]\b|lora_(up|down)\b", "an adapter (LoRA), which changes a model's weights and holds none", "merge it"),
    (
        r"\.(SCB|qweight|qzeros|absmax|quant_state|weight_scale(_inv)?|weight_format|_packed_params)\b",
        "a quantised model",
        "take its weights in float32 or float16",
    ),
    (
        r"^((clip|model)\.)?(vision_model|text_model)\.|^(visual_projection|text_projection)\.weight$",
        "in the layout of the transformers library",
        _TAKE,
    ),
    (r"^(model\.)?(first_stage_model|cond_stage_model|diffusion_model)\.", "a diffusion model", "take a CLIP's"),
    (
        r"^(embeddings|encoder)\.|^(patch_embed|blocks|cls_token|pos_embed|stem|head)\b|^layer\d\.",
        "another network, or one tower of a CLIP",
        "give a file with both towers",
    ),
)

FileForm = Literal["safetensors", "archive", "pickle"]


def form_of(file: Path) -> FileForm:
    """How a weights file is written, by its first bytes. Raises NoWeightsError for any other file."""
    with file.open("rb") as opened:
        head = opened.read(_HEAD_BYTES)
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not head:
        raise NoWeightsError("it is empty: download it again")
    if head[8:9] == b"{":
        return "safetensors"
    if head.startswith(_ZIP):
        return _form_of_zip(file)
    if head.startswith(_PICKLE):
        return "pickle"
    for start, what, remedy in _HEADS:
        if text.startswith(start) or head.startswith(start):
            raise NoWeightsError(f"it is {what}: {remedy}")
    if head[_TAR_MARK[0] :].startswith(_TAR_MARK[1]):
        raise NoWeightsError(f"it is a tar: {_UNPACK}")
    if whose := _OTHER_SUFFIXES.get(file.suffix.lower()):
        raise NoWeightsError(f"it is a file of another kind ({whose}): {_TAKE}")
    # What is damaged, or announces what is not there, is named by those who check it.
    return "safetensors" if file.suffix == ".safetensors" else "pickle"


def _form_of_zip(file: Path) -> FileForm:
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        return "archive"
    if any(name.endswith("data.pkl") for name in names):
        return "archive"
    if names and all(name.endswith(".npy") for name in names):
        raise NoWeightsError(f"it is an archive of numpy's arrays (.npz): {_TAKE}")
    raise NoWeightsError(f"it is a zip: {_UNPACK}")


def layout_of(unexpected: Iterable[str], missing: Sequence[str]) -> str:
    """Whose tensors have names that a model lacks, or lack its own, and what to do; empty where nothing is known."""
    unexpected = list(unexpected)
    for pattern, what, remedy in _LAYOUTS:
        if any(re.search(pattern, name) for name in unexpected):
            return f"it is {what}: {remedy}"
    of_images = [name for name in missing if name.startswith("visual.")]
    if "token_embedding.weight" in missing and not of_images:
        return "it is the image tower alone: give a file with both towers"
    if of_images and len(of_images) == len(missing) > 1:
        return "it is the text tower alone: give a file with both towers"
    return ""


def names_file(url: str) -> bool:
    """Whether a URL is that of a file, by its ending, not of a run's folder."""
    return url.lower().endswith((*WEIGHT_SUFFIXES, *_OTHER_SUFFIXES))


def is_weights_url(text: str) -> bool:
    """Whether a text names a file or folder, not a tag: tags have neither a slash nor such an ending."""
    return "/" in text or names_file(text)
