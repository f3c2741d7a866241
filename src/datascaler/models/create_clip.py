"""Building open_clip's model with given weights, or saying in one line why they do not fit."""

import hashlib
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from datascaler.errors import ConfigError, DatascalerError, NoWeightsError
from datascaler.models.loaded import LoadedClip
from datascaler.models.open_clip_parts import PreprocessCfg, QuickGELU, factory, image_transform_v2
from datascaler.models.tokenize import Tokenize
from datascaler.models.weights.check_weights import AGAIN
from datascaler.models.weights.readable_weights import saved_tensors
from datascaler.models.weights.weights_form import layout_of

Preprocess = Callable[[Image.Image], Tensor]
WITHOUT_HUB = "weights that are here need no hub: --pretrained FILE with its --model, or a run of yours"
_KEYS = re.compile(r"(Missing|Unexpected) key\(s\) in state_dict: (.+?)\.\s*$", re.MULTILINE)
_SIZES = re.compile(r"size mismatch for (\S+): .*?torch\.Size\((\[.*?\])\).*?torch\.Size\((\[.*?\])\)")
_LONGEST_REASON = 600
_FROM_HUB = re.compile("Failed to download|on the Hub|huggingface")
_EXAMPLES = 3
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sizes:
    """What open_clip is to build in place of what the architecture's config says."""

    image_size: int | None
    context_length: int | None

    @property
    def forced(self) -> dict[str, Any]:
        return {"force_image_size": self.image_size, "force_context_length": self.context_length}


def create_clip(
    name: str,
    pretrained: str | None = None,
    *,
    sizes: Sizes,
    images: Mapping[str, Any] = MappingProxyType({}),
    force_quick_gelu: bool = False,
    has_bias: bool = False,
) -> tuple[torch.nn.Module, Preprocess]:
    """open_clip's model with weights, never a random one. images: settings of its transform, as in a tag's row.

    has_bias: the weights have a bias of logits, as training with SigLIP's loss leaves in a model of any config.
    """
    bias = {"init_logit_bias": 0.0} if has_bias else {}
    model = factory.create_model(
        name,
        pretrained,
        require_pretrained=True,
        force_quick_gelu=force_quick_gelu,
        force_preprocess_cfg={key: value for key, value in images.items() if key != "size"},
        **sizes.forced,
        **bias,
    )
    return model, image_transform_v2(PreprocessCfg(**model.visual.preprocess_cfg), is_train=False)


def refuse_other_tensors(model: torch.nn.Module, file: Path, problem: str, sizes: Sizes) -> None:
    """open_clip stretches position embeddings to the size that was built, which is another model unless it was asked
    for; and whole numbers, as quantised files have, are taken for weights.
    """
    saved, built = saved_tensors(file), model.state_dict()
    for name, place, asked in (
        ("visual.positional_embedding", "patches", sizes.image_size),
        ("positional_embedding", "tokens", sizes.context_length),
    ):
        found, _ = saved.get(name) or saved.get(f"text.{name}") or ((), None)
        wanted = built.get(name, built.get(f"text.{name}"))
        if found and wanted is not None and found != tuple(wanted.shape):
            has = f"it has positions for {found[0]} {place}, the architecture {len(wanted)}"
            if not asked:
                raise ConfigError(f"{problem}: {has}{_size_of(found[0], place)}")
            _log.warning("%s: they are interpolated, as asked for", has)
    for name, (_, dtype) in saved.items():
        if dtype and not dtype.is_floating_point and name in built and built[name].is_floating_point():
            raise ConfigError(f"{problem}: {name} is {dtype}, as in a quantised model: take its weights in float32")
    broken = [name for name, value in model.named_parameters() if not value.isfinite().all()]
    if broken:
        raise ConfigError(f"{problem}: {len(broken)} of its tensors are not finite ({some_of(broken)})")


def _size_of(positions: int, place: str) -> str:
    return f"; if they are so, give --context-length {positions}" if place == "tokens" else "; see --image-size"


@contextmanager
def load_errors(kind: type[DatascalerError], problem: str, file: str = "the file") -> Iterator[None]:
    """The hub client, torch and open_clip have errors of their own: keys or shapes, a refused pickle, no network."""
    try:
        yield
    except NoWeightsError as error:
        raise ConfigError(f"{file} was refused: {error}") from error
    except (DatascalerError, MemoryError):
        raise
    except Exception as error:
        raise kind(f"{problem}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """What a library says, on one line: which tensors do not fit, and how many, or its first words."""
    text = str(error)
    keys = {what: [name.strip().strip('"') for name in names.split(",")] for what, names in _KEYS.findall(text)}
    faults = [f"{len(names)} {what.lower()} ({some_of(names)})" for what, names in keys.items()]
    if sizes := [f"{name} {saved} in place of {built}" for name, saved, built in _SIZES.findall(text)]:
        faults.append(f"{len(sizes)} of another size ({some_of(sizes)})")
    if faults:
        layout = layout_of(keys.get("Unexpected", []), keys.get("Missing", []))
        return "; ".join(filter(None, (layout, f"tensors: {'; '.join(faults)}")))
    words = " ".join(text.split()) or type(error).__name__
    if type(error).__name__ == "SafetensorError":
        words = f"{words}; {AGAIN}"
    words = words if len(words) <= _LONGEST_REASON else f"{words[:_LONGEST_REASON]} ..."
    return f"{words.rstrip('.')}; {WITHOUT_HUB}" if _FROM_HUB.search(words) else words


def some_of(names: list[str]) -> str:
    return ", ".join(names[:_EXAMPLES]) + ", ..." * (len(names) > _EXAMPLES)


def as_loaded(
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
