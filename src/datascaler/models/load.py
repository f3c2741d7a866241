"""Getting a trained CLIP by the words that users know: open_clip's names and tags, or a run of our own.

--model ViT-L-14 --pretrained openai             a tag of open_clip's
--model hf-hub:apple/DFN-public                  a model on the hub
--model local-dir:/weights/dfn                   a folder with open_clip_config.json; any URL
--model ViT-B-32 --pretrained s3://b/weights.pt  a checkpoint for that architecture, OpenAI's own files among them
--pretrained s3://b/out/small/.../               a run or checkpoint of ours; it knows its own architecture
"""

import difflib
import hashlib
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.transformer import QuickGELU
from PIL import Image
from torch import Tensor

from datascaler import storage
from datascaler.errors import ConfigError, DatascalerError
from datascaler.models.arch import known_archs
from datascaler.models.check_weights import check_weights_file
from datascaler.models.device import choose_device
from datascaler.models.loaded import LoadedClip
from datascaler.models.openai_layout import is_torchscript, readable_weights, saved_shapes
from datascaler.models.quick_gelu import SUFFIX, config_of_tag, quick_gelu_config
from datascaler.models.run_weights import is_run_checkpoint, model_of_run, newest_checkpoint, read_checkpoint
from datascaler.models.tokenize import Tokenize, tokenizer_for
from datascaler.spec.train import TrainSpec
from datascaler.tools.foreign_noise import said_once
from datascaler.tools.foreign_warnings import refuse_wrong_results

Preprocess = Callable[[Image.Image], Tensor]
LOCAL_DIR, HUB = "local-dir:", "hf-hub:"
_WEIGHT_SUFFIXES = (".pt", ".pth", ".bin", ".safetensors")
_KEYS = re.compile(r"(Missing|Unexpected) key\(s\) in state_dict: (.+?)\.\s*$", re.MULTILINE)
_SIZES = re.compile(r"size mismatch for (\S+): .*?torch\.Size\((\[.*?\])\).*?torch\.Size\((\[.*?\])\)")
_EXAMPLES = 3
_LONGEST_REASON = 600
_WITHOUT_HUB = "weights that are here need no hub: --pretrained FILE with its --model, or a run of yours"
_ASKING = f"the hub does not answer: asking again for about a minute ({_WITHOUT_HUB})"
_FROM_HUB = re.compile("Failed to download|on the Hub|huggingface")
_log = logging.getLogger(__name__)


def load_clip(
    model: str | None = None, pretrained: str | None = None, device: torch.device | None = None
) -> LoadedClip:
    """Load a trained CLIP in eval mode, with the image transform and the tokenizer that belong to its weights.

    Args:
        model: an open_clip name, hf-hub:ORG/NAME, or local-dir:FOLDER (any URL), which bring their own weights.
        pretrained: an open_clip tag, the URL of a weights file, or of a run of `train_clip`, which says the `model`.
        device: by default the accelerator, else the CPU.

    Returns a LoadedClip: `embed_images` takes [n, 3, H, W] and `embed_texts` int64 [n, context_length], and each gives
    float32 unit vectors [n, width]; `preprocess` and `tokenize` make these of a PIL image and of texts; `model` is
    open_clip's own.

    Raises ConfigError for a name, tag or file that gives no model, DatascalerError where a download fails.

    Example:
        >>> clip = load_clip("local-dir:model")
        >>> texts = clip.embed_texts(clip.tokenize(["a red circle", "a blue square"]))
        >>> texts.shape, texts.norm(dim=1).round(decimals=4)
        (torch.Size([2, 32]), tensor([1., 1.]))
    """
    device = device or choose_device()
    with (
        refuse_wrong_results(f"cannot load {' '.join(filter(None, (model, pretrained)))}"),
        # open_clip draws weights before it reads them: the caller's random numbers are to be as if it had not.
        torch.random.fork_rng(devices=[]),
        said_once("huggingface_hub.utils._http", "thrown while requesting|Retrying in|Rate limited", _ASKING),
    ):
        return _load(model, pretrained, device)


def _load(model: str | None, pretrained: str | None, device: torch.device) -> LoadedClip:
    if pretrained and _is_url(pretrained):
        return _from_url(model, pretrained, device)
    if not model:
        raise ConfigError("no model: give --model (an open_clip name) or --pretrained with the URL of a run")
    if pretrained and model.startswith((HUB, LOCAL_DIR)):
        raise ConfigError(f"{model} brings its own weights: leave out --pretrained {pretrained}")
    if not model.startswith((HUB, LOCAL_DIR)):
        return _from_tag(model, pretrained, device)
    with _reachable(model) as name, _load_errors(DatascalerError, f"cannot load {model}"):
        files = _weights_files(name)
        for file in files:
            check_weights_file(file)
        built, preprocess = _create(name)
        if len(files) == 1:
            _refuse_other_sizes(built, files[0], f"the weights do not fit the config of {model}")
        return _loaded(built, preprocess, tokenizer_for(name), model, device)


def _from_tag(model: str, tag: str | None, device: torch.device) -> LoadedClip:
    settings = _check_tag(model, tag)
    config = config_of_tag(model, str(tag), settings)
    image = {f"image_{name}": settings.get(name) for name in ("mean", "std", "interpolation", "resize_mode")}
    with _load_errors(DatascalerError, f"cannot load {model} {tag}"):
        file = Path(open_clip.factory.download_pretrained(settings))
        with readable_weights(file) as (path, _):
            built, preprocess = _create(config, str(path), **image)
        return _loaded(built, preprocess, tokenizer_for(config), model, device, config)


def _from_url(model: str | None, url: str, device: torch.device) -> LoadedClip:
    checkpoint = url if url.endswith(_WEIGHT_SUFFIXES) else newest_checkpoint(url)
    if checkpoint is None:
        raise ConfigError(
            f"{url} is neither a weights file ({', '.join(_WEIGHT_SUFFIXES)}) nor a run with a checkpoint"
        )
    content = _run_content(checkpoint)
    if content is not None:
        clip = model_of_run(content)
        if model and model != clip.arch:
            raise ConfigError(f"{checkpoint} is of a run of {clip.arch}, not of {model}: leave out --model")
        preprocess = open_clip.image_transform(clip.config["vision_cfg"]["image_size"], is_train=False)
        loaded = _loaded(clip.model, preprocess, tokenizer_for(clip.arch), clip.arch, device)
        return replace(loaded, unfinished=_unfinished(checkpoint, content))
    if not model:
        raise ConfigError(f"{checkpoint} does not say what architecture it is for: give --model")
    _check_name(model)
    with (
        storage.local_copy(checkpoint) as file,
        _load_errors(ConfigError, f"{checkpoint} does not fit {model}"),
        readable_weights(file) as (path, is_openai),
    ):
        config = (quick_gelu_config(model) if is_openai else None) or model
        built, preprocess = _create(config, str(path), force_quick_gelu=is_openai)
        _refuse_other_sizes(built, path, f"{checkpoint} does not fit {model}")
        return _loaded(built, preprocess, tokenizer_for(config), model, device, config)


def _unfinished(checkpoint: str, content: dict[str, Any]) -> str:
    """How far a run is that has not ended, which is warned of; a filter, or a score, by it is another one tomorrow."""
    spec = TrainSpec.from_record(content["spec"])
    seen, wanted = content.get("samples_seen", 0), spec.steps * spec.batch_size
    if seen >= wanted:
        return ""
    _log.warning("%s is of a run that is not complete: it has seen %s of %s samples", checkpoint, seen, wanted)
    return f"{seen:,} of {wanted:,} samples seen"


def _run_content(checkpoint: str) -> dict[str, Any] | None:
    """A checkpoint of ours; None for any other weights file."""
    if not checkpoint.endswith(".pt"):
        return None
    with storage.open_read(checkpoint) as file:
        if is_torchscript(file):
            return None
    content = read_checkpoint(checkpoint)
    return content if is_run_checkpoint(content) else None


def _create(name: str, pretrained: str | None = None, **options: Any) -> tuple[torch.nn.Module, Preprocess]:
    """open_clip's other factory is not used: with it weights that are not found leave a random model behind."""
    model, preprocess = open_clip.create_model_from_pretrained(name, pretrained, **options)
    return model, preprocess


def _refuse_other_sizes(model: torch.nn.Module, file: Path, problem: str) -> None:
    """open_clip stretches position embeddings to the size that was asked for, which is another model."""
    saved, built = saved_shapes(file), model.state_dict()
    for name, place in (("visual.positional_embedding", "patches"), ("positional_embedding", "tokens")):
        found = saved.get(name) or saved.get(f"text.{name}")
        wanted = built.get(name, built.get(f"text.{name}"))
        if found and wanted is not None and found != tuple(wanted.shape):
            raise ConfigError(f"{problem}: it has positions for {found[0]} {place}, the architecture {len(wanted)}")


@contextmanager
def _load_errors(kind: type[DatascalerError], problem: str) -> Iterator[None]:
    """The hub client, torch and open_clip have errors of their own: keys or shapes, a refused pickle, no network."""
    try:
        yield
    except (DatascalerError, MemoryError):
        raise
    except Exception as error:
        raise kind(f"{problem}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """What a library says, on one line: which tensors do not fit, and how many, or its first words."""
    text = str(error)
    faults = []
    for what, names in _KEYS.findall(text):
        keys = [name.strip().strip('"') for name in names.split(",")]
        faults.append(f"{len(keys)} {what.lower()} ({_some(keys)})")
    if sizes := [f"{name} {saved} in place of {built}" for name, saved, built in _SIZES.findall(text)]:
        faults.append(f"{len(sizes)} of another size ({_some(sizes)})")
    if faults:
        return f"tensors: {'; '.join(faults)}"
    words = " ".join(text.split()) or type(error).__name__
    words = words if len(words) <= _LONGEST_REASON else f"{words[:_LONGEST_REASON]} ..."
    return f"{words.rstrip('.')}; {_WITHOUT_HUB}" if _FROM_HUB.search(words) else words


def _some(names: list[str]) -> str:
    return ", ".join(names[:_EXAMPLES]) + ", ..." * (len(names) > _EXAMPLES)


def _loaded(
    model: torch.nn.Module,
    preprocess: Preprocess,
    tokenize: Tokenize,
    arch: str,
    device: torch.device,
    config: str = "",
) -> LoadedClip:
    # The transform's text names its functions with their addresses, which differ from process to process.
    transform = re.sub(r" at 0x[0-9a-f]+", "", repr(preprocess))
    settings = f"{transform} context {tokenize(['']).shape[1]} tokens {tokenize(['A photo, of 2 cats.']).tolist()}"
    return LoadedClip(
        model=model.eval().to(device),
        preprocess=preprocess,
        tokenize=tokenize,
        arch=arch,
        config=config or arch,
        device=device,
        weights_hash=weights_hash(model),
        preprocess_hash=hashlib.sha256(settings.encode()).hexdigest(),
    )


def weights_hash(model: torch.nn.Module) -> str:
    """sha256 (hex) over the names, types, shapes and bytes of the state dict, in the order of the names.

    QuickGELU counts too: the same weights give other features with it, and no tensor tells.
    """
    digest = hashlib.sha256()
    for name, module in model.named_modules():
        if isinstance(module, QuickGELU):
            digest.update(f"{name} QuickGELU".encode())
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


def _weights_files(name: str) -> list[Path]:
    """Those of a `local-dir:`; more than one are open_clip's to choose from."""
    if not name.startswith(LOCAL_DIR):
        return []
    return [file for file in Path(name.removeprefix(LOCAL_DIR)).iterdir() if file.suffix in _WEIGHT_SUFFIXES]


def _is_url(pretrained: str) -> bool:
    """A tag has neither a slash nor a weights file's suffix."""
    return "/" in pretrained or pretrained.endswith(_WEIGHT_SUFFIXES)


def _check_tag(model: str, tag: str | None) -> dict[str, Any]:
    """The tag's row of open_clip's table. Refuses a name or tag that is not there, and a name without a tag."""
    _check_name(model)
    listed = ", ".join(open_clip.list_pretrained_tags_by_model(model)) or "none"
    if not tag:
        raise ConfigError(f"{model} needs --pretrained: a weights file, or one of its tags: {listed}")
    settings: dict[str, Any] = open_clip.get_pretrained_cfg(model, tag)
    if not settings:
        plain = model.removesuffix(SUFFIX)
        remedy = f"give --model {plain}" if open_clip.get_pretrained_cfg(plain, tag) else f"its tags: {listed}"
        raise ConfigError(f"no pretrained tag {tag!r} for {model}; {remedy}")
    return settings


def _check_name(model: str) -> None:
    if model.startswith((HUB, LOCAL_DIR)):
        raise ConfigError(f"{model} brings its own weights: leave out --pretrained")
    known = known_archs(model)
    if model not in known:
        close = difflib.get_close_matches(model, known, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else "see open_clip.list_models()"
        raise ConfigError(f"unknown model {model!r}; {hint}")
