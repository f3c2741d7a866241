"""Getting a trained CLIP by the words that users know: open_clip's names and tags, or a run of our own.

--model ViT-L-14 --pretrained openai             a tag of open_clip's
--model hf-hub:apple/DFN-public                  a model on the hub
--model local-dir:/weights/dfn                   a folder with open_clip_config.json; any URL
--model ViT-B-32 --pretrained s3://b/weights.pt  a checkpoint for that architecture, OpenAI's own files among them
--pretrained s3://b/out/small/.../               a run or checkpoint of ours; it knows its own architecture
"""

import difflib
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from datascaler import storage
from datascaler.errors import ConfigError, DatascalerError, StorageError
from datascaler.models.arch import known_archs
from datascaler.models.create_clip import (
    WITHOUT_HUB,
    Sizes,
    as_loaded,
    create_clip,
    load_errors,
    refuse_other_tensors,
    some_of,
)
from datascaler.models.device import choose_device
from datascaler.models.loaded import LoadedClip
from datascaler.models.open_clip_parts import factory, image_transform
from datascaler.models.quick_gelu import SUFFIX, config_of_tag, quick_gelu_config
from datascaler.models.run_weights import (
    is_run_checkpoint,
    may_be_run_checkpoint,
    model_of_run,
    newest_checkpoint,
    read_checkpoint,
)
from datascaler.models.tokenize import tokenizer_for
from datascaler.models.weights.readable_weights import has_bias, readable_weights
from datascaler.models.weights.weights_folder import (
    CONFIG,
    Beside,
    choose_weights,
    config_difference,
    is_chosen_by_chance,
    read_config,
    read_transformers_images,
    weights_on_disk,
)
from datascaler.models.weights.weights_form import (
    WEIGHT_SUFFIXES,
    is_weights_url,
    names_file,
)
from datascaler.spec.train import TrainSpec
from datascaler.tools.foreign_noise import said_once
from datascaler.tools.foreign_warnings import refuse_wrong_results

LOCAL_DIR, HUB = "local-dir:", "hf-hub:"
_ITS_FIRST = {True: "open_clip_model.safetensors", False: "open_clip_pytorch_model.bin"}
"""What open_clip chooses first among the weights files of a folder."""
_EXAMPLES = 3
_ASKING = f"the hub does not answer: asking again for about a minute ({WITHOUT_HUB})"
_log = logging.getLogger(__name__)


def load_clip(
    model: str | None = None,
    pretrained: str | None = None,
    device: torch.device | None = None,
    *,
    image_size: int | None = None,
    context_length: int | None = None,
) -> LoadedClip:
    """Load a trained CLIP in eval mode, with the image transform and the tokenizer that belong to its weights.

    Args:
        model: an open_clip name, hf-hub:ORG/NAME, or local-dir:FOLDER (any URL), which bring their own weights.
        pretrained: an open_clip tag, the URL of a weights file, or of a run of `train_clip`, which says the `model`;
            so does an open_clip_config.json beside a file, whose settings of images are used.
        device: by default the accelerator, else the CPU.
        image_size: side of its images, in pixels, where it is not that of the architecture.
        context_length: tokens of its captions, where they are not those of the architecture.

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
        return _load(model, pretrained, device, Sizes(image_size, context_length))


def _load(model: str | None, pretrained: str | None, device: torch.device, sizes: Sizes) -> LoadedClip:
    if pretrained and is_weights_url(pretrained):
        return _from_url(model, pretrained, device, sizes)
    if not model:
        raise ConfigError("no model: give --model (an open_clip name) or --pretrained with the URL of a run")
    if pretrained and model.startswith((HUB, LOCAL_DIR)):
        raise ConfigError(f"{model} brings its own weights: leave out --pretrained {pretrained}")
    if model.startswith(LOCAL_DIR):
        if names_file(model) and not storage.list_files(model.removeprefix(LOCAL_DIR)):
            raise ConfigError(f"{model} names a file, and a folder is needed: give it as --pretrained")
        return _from_folder(model.removeprefix(LOCAL_DIR), None, device, sizes)
    if model == HUB:
        raise ConfigError(f"--model {HUB} names no model: give {HUB}ORG/NAME, as the hub's page of the model has it")
    if not model.startswith(HUB):
        return _from_tag(model, pretrained, device, sizes)
    with load_errors(DatascalerError, f"cannot load {model}"):
        built, preprocess = create_clip(model, sizes=sizes)
        return as_loaded(built, preprocess, tokenizer_for(model, sizes.context_length), model, device)


def _from_tag(model: str, tag: str | None, device: torch.device, sizes: Sizes) -> LoadedClip:
    settings = _check_tag(model, tag)
    config = config_of_tag(model, str(tag), settings)
    with load_errors(DatascalerError, f"cannot load {model} {tag}"):
        file = Path(factory.download_pretrained(settings))
        with readable_weights([file]) as (path, _):
            built, preprocess = create_clip(config, str(path), sizes=sizes, images=settings)
        return as_loaded(built, preprocess, tokenizer_for(config, sizes.context_length), model, device, config)


def _from_url(model: str | None, url: str, device: torch.device, sizes: Sizes) -> LoadedClip:
    checkpoint = url if names_file(url) else newest_checkpoint(url)
    if checkpoint is None:
        raise ConfigError(_no_weights(url))
    content = _run_content(checkpoint)
    if content is not None:
        return _from_run(model, checkpoint, content, device, sizes)
    beside = _config_beside(checkpoint)
    if not model:
        if beside is None:
            raise ConfigError(f"{checkpoint} does not say what architecture it is for: give --model")
        return _from_folder(storage.parent(checkpoint), storage.basename(checkpoint), device, sizes)
    _check_name(model)
    if beside:
        _refuse_another_config(model, beside, sizes)
    with (
        weights_on_disk(checkpoint) as files,
        load_errors(ConfigError, f"{checkpoint} does not fit {model}", checkpoint),
        readable_weights(files) as (path, is_openai),
    ):
        config = (quick_gelu_config(model) if is_openai else None) or model
        images = beside.images if beside else _images_beside(checkpoint, model, sizes)
        built, preprocess = create_clip(
            config, str(path), sizes=sizes, images=images, force_quick_gelu=is_openai, has_bias=has_bias(path)
        )
        refuse_other_tensors(built, path, f"{checkpoint} does not fit {model}", sizes)
        return as_loaded(built, preprocess, tokenizer_for(config, sizes.context_length), model, device, config)


def _config_beside(checkpoint: str) -> Beside | None:
    try:
        return read_config(storage.parent(checkpoint))
    except StorageError as error:  # one may read the file and nothing else
        _log.warning("whether a %s lies beside the weights is not known: %s", CONFIG, error)
        return None


def _images_beside(checkpoint: str, model: str, sizes: Sizes) -> Mapping[str, Any]:
    side = sizes.image_size or factory.get_model_config(model)["vision_cfg"]["image_size"]
    try:
        return read_transformers_images(storage.parent(checkpoint), side)
    except ConfigError:
        raise
    except StorageError:
        return {}  # it has been said that nothing else can be read there


def _from_run(
    model: str | None, checkpoint: str, content: dict[str, Any], device: torch.device, sizes: Sizes
) -> LoadedClip:
    with load_errors(ConfigError, f"the weights in {checkpoint} do not fit the spec in it"):
        clip = model_of_run(content)
    if model and model != clip.arch:
        raise ConfigError(f"{checkpoint} is of a run of {clip.arch}, not of {model}: leave out --model")
    side, context = clip.config["vision_cfg"]["image_size"], clip.config["text_cfg"]["context_length"]
    if (sizes.image_size or side, sizes.context_length or context) != (side, context):
        raise ConfigError(
            f"{checkpoint} is of a run that saw images of {side} pixels and {context} tokens: leave out --image-size "
            "and --context-length"
        )
    preprocess = image_transform(side, is_train=False)
    loaded = as_loaded(clip.model, preprocess, tokenizer_for(clip.arch), clip.arch, device)
    return replace(loaded, unfinished=_unfinished(checkpoint, content))


def _from_folder(url: str, name: str | None, device: torch.device, sizes: Sizes) -> LoadedClip:
    """The model of a folder with open_clip_config.json: of the named weights file, else of the one that counts."""
    model = LOCAL_DIR + url
    problem = f"cannot load {model}"
    if read_config(url) is None:
        raise ConfigError(f"{problem}: {_no_config(url)}")
    names = [storage.basename(info.url) for info in storage.list_files(url)]
    if name is None:
        chosen = choose_weights(names)
        if chosen is None:
            raise ConfigError(f"{problem}: {_no_weights(url)}")
        name, others = chosen
        if is_chosen_by_chance(name, others):
            several = some_of([name, *others])
            raise ConfigError(
                f"{problem}: nothing says which of its files counts, {several}; --pretrained FILE chooses one"
            )
        if others:
            _log.warning(
                "%s holds %d weights files: %s is used, not %s; --pretrained FILE chooses another",
                *(url, len(others) + 1, name, some_of(others)),
            )
    with (
        weights_on_disk(storage.join(url, name)) as files,
        _without_weights(url, names) as folder,
        load_errors(ConfigError, f"{problem}: {name}", storage.join(url, name)),
        readable_weights(files) as (path, is_openai),
    ):
        # open_clip takes the weights of a folder by its own rule, so here is one with those alone.
        target = folder / _ITS_FIRST[path.suffix == ".safetensors"]
        target.symlink_to(path.absolute())
        built, preprocess = create_clip(
            f"{LOCAL_DIR}{folder}", sizes=sizes, force_quick_gelu=is_openai, has_bias=has_bias(path)
        )
        refuse_other_tensors(
            built, path, f"{storage.join(url, name)}: the weights do not fit the config of {model}", sizes
        )
        tokenize = tokenizer_for(f"{LOCAL_DIR}{folder}", sizes.context_length)
        return as_loaded(built, preprocess, tokenize, model, device)


@contextmanager
def _without_weights(url: str, names: list[str]) -> Iterator[Path]:
    """A folder on this machine with what lies in another but for its weights: the config, and a tokenizer's files."""
    with storage.temporary_folder() as folder, storage.named_full_disk():
        for name in names:
            if names_file(name):
                continue
            if storage.is_local(url):
                (folder / name).symlink_to(Path(storage.local_path(url), name).absolute())
            else:
                (folder / name).write_bytes(storage.read_bytes(storage.join(url, name)))
        yield folder


def _no_config(url: str) -> str:
    there = {storage.basename(info.url) for info in storage.list_files(url)}
    if not there:
        return "there is no such folder, or it is empty"
    whose = "it is a folder of the transformers library; " if "config.json" in there else ""
    return f"it holds no {CONFIG}: {whose}give --model NAME --pretrained FILE for weights of one of open_clip's models"


def _no_weights(url: str) -> str:
    found = next((name for name in (storage.basename(i.url) for i in storage.list_files(url)) if name == CONFIG), None)
    hint = f"; its {CONFIG} is there: give --model {LOCAL_DIR}{url}" if found else ""
    return f"{url} is neither a weights file ({', '.join(WEIGHT_SUFFIXES)}) nor a run with a checkpoint{hint}"


def _refuse_another_config(model: str, beside: Beside, sizes: Sizes) -> None:
    expected = factory.get_model_config(model)
    for tower, name, value in (
        ("vision_cfg", "image_size", sizes.image_size),
        ("text_cfg", "context_length", sizes.context_length),
    ):
        if value:
            expected[tower][name] = value
    if problem := config_difference(beside.model, expected):
        raise ConfigError(
            f"{beside.url} is of another model than --model {model}: {problem}; leave out --model to use what it says"
        )


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
        if not may_be_run_checkpoint(file, checkpoint):
            return None
    content = read_checkpoint(checkpoint)
    return content if is_run_checkpoint(content) else None


def _check_tag(model: str, tag: str | None) -> dict[str, Any]:
    """The tag's row of open_clip's table. Refuses a name or tag that is not there, and a name without a tag."""
    _check_name(model)
    listed = ", ".join(factory.list_pretrained_tags_by_model(model)) or "none"
    if not tag:
        raise ConfigError(f"{model} needs --pretrained: a weights file, or one of its tags: {listed}")
    settings: dict[str, Any] = factory.get_pretrained_cfg(model, tag)
    if not settings:
        plain = model.removesuffix(SUFFIX)
        close = difflib.get_close_matches(tag.lower().replace("-", "_"), listed.split(", "), n=1)
        tags = f"did you mean {close[0]}? its tags: {listed}" if close else f"its tags: {listed}"
        remedy = f"give --model {plain}" if factory.get_pretrained_cfg(plain, tag) else tags
        raise ConfigError(f"no pretrained tag {tag!r} for {model}; {remedy}")
    return settings


def _check_name(model: str) -> None:
    if model.startswith((HUB, LOCAL_DIR)):
        raise ConfigError(f"{model} brings its own weights: leave out --pretrained")
    known = known_archs(model)
    if model not in known:
        plain = {name.lower(): name for name in known}
        close = [plain[name] for name in difflib.get_close_matches(model.lower().replace("/", "-"), plain, n=3)]
        hint = f"did you mean {' or '.join(close)}?" if close else "see open_clip.list_models()"
        raise ConfigError(f"unknown model {model!r}; {hint}")
