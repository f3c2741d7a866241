"""Getting a trained CLIP by the words that users know: open_clip's names and tags, or a run of our own.

--model ViT-L-14 --pretrained openai             a tag of open_clip's
--model hf-hub:apple/DFN-public                  a model on the hub
--model local-dir:/weights/dfn                   a folder with open_clip_config.json; any URL
--model ViT-B-32 --pretrained s3://b/weights.pt  a checkpoint for that architecture
--pretrained s3://b/out/small/.../               a run or checkpoint of ours; it knows its own architecture
"""

import difflib
import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import open_clip
import torch
from PIL import Image
from torch import Tensor

from datascaler import storage
from datascaler.errors import ConfigError, DatascalerError, first_line
from datascaler.models.arch import register_configs
from datascaler.models.freed_memory import keep_freed_memory
from datascaler.models.loaded import LoadedClip
from datascaler.models.run_weights import is_run_checkpoint, model_of_run, newest_checkpoint, read_checkpoint
from datascaler.models.tokenize import Tokenize, tokenizer_for

LOCAL_DIR, HUB = "local-dir:", "hf-hub:"
_WEIGHT_SUFFIXES = (".pt", ".pth", ".bin", ".safetensors")


def load_clip(model: str | None, pretrained: str | None, device: torch.device | None = None) -> LoadedClip:
    """A model in eval mode, ready to embed.

    Raises ConfigError for a name, tag or file that gives no model, DatascalerError where a download fails.
    """
    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu":
        keep_freed_memory()
    register_configs()
    if pretrained and _is_url(pretrained):
        return _from_url(model, pretrained, device)
    if not model:
        raise ConfigError("no model: give --model (an open_clip name) or --pretrained with the URL of a run")
    if pretrained and model.startswith((HUB, LOCAL_DIR)):
        raise ConfigError(f"{model} brings its own weights: leave out --pretrained {pretrained}")
    with _reachable(model) as name:
        _check_tag(name, pretrained)
        try:
            built, preprocess = _create(name, pretrained)
            tokenizer = tokenizer_for(name)
        except Exception as error:  # the hub client, torch and open_clip each have errors of their own
            raise DatascalerError(f"cannot load {model} {pretrained or ''}: {first_line(error)}") from error
        return _loaded(built, preprocess, tokenizer, model, device)


def _from_url(model: str | None, url: str, device: torch.device) -> LoadedClip:
    checkpoint = url if url.endswith(_WEIGHT_SUFFIXES) else newest_checkpoint(url)
    if checkpoint is None:
        raise ConfigError(
            f"{url} is neither a weights file ({', '.join(_WEIGHT_SUFFIXES)}) nor a run with a checkpoint"
        )
    if checkpoint.endswith(".pt"):
        content = read_checkpoint(checkpoint)
        if is_run_checkpoint(content):
            clip = model_of_run(content)
            preprocess = open_clip.image_transform(clip.config["vision_cfg"]["image_size"], is_train=False)
            return _loaded(clip.model, preprocess, tokenizer_for(clip.arch), clip.arch, device)
    if not model:
        raise ConfigError(f"{checkpoint} does not say what architecture it is for: give --model")
    _check_name(model)
    with storage.local_copy(checkpoint) as path:
        try:
            built, preprocess = _create(model, str(path))
        except Exception as error:  # keys or shapes that do not fit, a refused pickle, a broken file
            raise ConfigError(f"{checkpoint} does not fit {model}: {first_line(error)}") from error
    return _loaded(built, preprocess, tokenizer_for(model), model, device)


def _create(name: str, pretrained: str | None) -> tuple[torch.nn.Module, Callable[[Image.Image], Tensor]]:
    """With open_clip's other factory, weights that are not found leave a random model behind."""
    model, preprocess = open_clip.create_model_from_pretrained(name, pretrained)
    return model, preprocess


def _loaded(
    model: torch.nn.Module,
    preprocess: Callable[[Image.Image], Tensor],
    tokenize: Tokenize,
    arch: str,
    device: torch.device,
) -> LoadedClip:
    # The transform's text names its functions with their addresses, which differ from process to process.
    transform = re.sub(r" at 0x[0-9a-f]+", "", repr(preprocess))
    settings = f"{transform} context {tokenize(['']).shape[1]} tokens {tokenize(['A photo, of 2 cats.']).tolist()}"
    return LoadedClip(
        model=model.eval().to(device),
        preprocess=preprocess,
        tokenize=tokenize,
        arch=arch,
        device=device,
        weights_hash=weights_hash(model),
        preprocess_hash=hashlib.sha256(settings.encode()).hexdigest(),
    )


def weights_hash(model: torch.nn.Module) -> str:
    """sha256 (hex) over the names, types, shapes and bytes of the state dict, in the order of the names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        value = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


@contextmanager
def _reachable(model: str) -> Iterator[str]:
    """The model's name for open_clip, which opens a `local-dir:` on local disks only."""
    if not model.startswith(LOCAL_DIR) or "://" not in model:
        yield model
        return
    url = model.removeprefix(LOCAL_DIR)
    with storage.temporary_folder() as folder:
        with storage.named_full_disk():
            for info in storage.list_files(url):
                (folder / storage.basename(info.url)).write_bytes(storage.read_bytes(info.url))
        yield LOCAL_DIR + str(folder)


def _is_url(pretrained: str) -> bool:
    """A tag has neither a slash nor a weights file's suffix."""
    return "/" in pretrained or pretrained.endswith(_WEIGHT_SUFFIXES)


def _check_tag(model: str, tag: str | None) -> None:
    """Refuse a name or tag that open_clip does not have, and a bare name, which has no weights."""
    if model.startswith((HUB, LOCAL_DIR)):
        return
    _check_name(model)
    tags = open_clip.list_pretrained_tags_by_model(model)
    listed = ", ".join(tags) or "none"
    if not tag:
        raise ConfigError(f"{model} needs --pretrained: a weights file, or one of its tags: {listed}")
    if tag.lower() not in tags:
        raise ConfigError(f"no pretrained tag {tag!r} for {model}; its tags: {listed}")


def _check_name(model: str) -> None:
    if model.startswith((HUB, LOCAL_DIR)):
        raise ConfigError(f"{model} brings its own weights: leave out --pretrained")
    known = open_clip.list_models()
    if model not in known:
        close = difflib.get_close_matches(model, known, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else "see open_clip.list_models()"
        raise ConfigError(f"unknown model {model!r}; {hint}")
