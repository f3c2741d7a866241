"""The checkpoints of our own runs: found, checked, read without running anything, and turned back into a model."""

import io
import math
import os
import re
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pickle import UnpicklingError
from typing import IO, Any

import torch
from torch import nn

from datascaler import storage
from datascaler.errors import ConfigError, DamagedError, DatascalerError, NotFoundError, first_line
from datascaler.models.build import BuiltClip, build_clip
from datascaler.models.weights.check_weights import check_weights
from datascaler.spec.train import TrainSpec
from datascaler.tools.zip_archive import require_no_bomb

_LIST = "latest.json"
_OF_A_RUN = re.compile(r"step_(\d+)\.pt")
_ZIP = b"PK\x03\x04"


@dataclass(frozen=True, slots=True)
class SavedCheckpoint:
    """A checkpoint as `latest.json` lists it."""

    file: str
    bytes: int = 0
    sha256: str = ""
    """Empty where an earlier version saved it, or only its name is known."""


def publish_list(folder: str, saved: list[SavedCheckpoint], step: int, samples_seen: int) -> None:
    """List the checkpoints of a folder, newest first; step and samples are the newest one's."""
    newest = {"file": saved[0].file, "step": step, "samples_seen": samples_seen}
    storage.publish_record(storage.join(folder, _LIST), {**newest, "checkpoints": [asdict(each) for each in saved]})


def saved_checkpoints(run_url: str, say: Callable[[str], None] = lambda _: None) -> list[SavedCheckpoint]:
    """The checkpoints of a run, newest first: as `latest.json` lists them, or by their names where it is lost."""
    folder = storage.join(run_url, "checkpoints")
    try:
        return _listed(folder)
    except NotFoundError:
        problem = f"{storage.join(folder, _LIST)} is missing"
    except ConfigError as error:
        problem = str(error)
    names = sorted(map(storage.basename, run_files(folder)), reverse=True)
    if names:
        say(f"damaged   {problem}; the checkpoints are known by their names, the newest is {names[0]}")
    return [SavedCheckpoint(name) for name in names]


def run_files(folder: str) -> list[str]:
    """URLs of a run's checkpoints in their folder; what people have put beside them is not among them."""
    found = [info.url for info in storage.list_files(folder, ".pt")]
    return [url for url in found if _OF_A_RUN.fullmatch(storage.basename(url))]


def step_of_file(name: str) -> int:
    """The step after which a run's checkpoint was saved."""
    found = _OF_A_RUN.fullmatch(name)
    return int(found[1]) if found else 0


def checkpoint_url(run_url: str, step: int) -> str:
    return storage.join(run_url, "checkpoints", f"step_{step:08d}.pt")


def run_of_checkpoint(url: str) -> str:
    return storage.parent(storage.parent(url))


def newest_checkpoint(run_url: str) -> str | None:
    """The newest checkpoint of a run, sound or not; None before the first one."""
    saved = saved_checkpoints(run_url)
    return storage.join(run_url, "checkpoints", saved[0].file) if saved else None


def sound_checkpoints(
    run_url: str, say: Callable[[str], None] = lambda _: None
) -> tuple[list[SavedCheckpoint], dict[str, Any]] | None:
    """A run's checkpoints from the newest sound one on, newest first, and what that one holds; None before the first.

    `say` is told of newer ones that are damaged. Raises DamagedError where none is sound.
    """
    saved = saved_checkpoints(run_url, say)
    damage: list[DatascalerError] = []
    for number, each in enumerate(saved):
        url = storage.join(run_url, "checkpoints", each.file)
        try:
            content = read_checkpoint(url, each)
        except (DamagedError, NotFoundError) as error:
            damage.append(error)
            continue
        for newer in damage:
            say(f"damaged   {newer}; going back to {each.file}")
        return saved[number:], content
    if damage:
        folder = storage.join(run_url, "checkpoints")
        raise DamagedError(
            f"{damage[0]}; none of the {len(damage)} checkpoint(s) of this run can be read: restore one from a copy, "
            f"or remove {folder} to train from the beginning"
        ) from damage[0]
    return None


def read_checkpoint(url: str, saved: SavedCheckpoint | None = None) -> dict[str, Any]:
    """A .pt file's content on the CPU. Only tensors and plain values are read; a pickle that wants more is refused.

    It is checked against `saved`, else against the list beside it, else by its own checksums. Raises DamagedError where
    it is not as it was written.
    """
    content = storage.read_bytes(url)
    problem = _damage(content, saved or _entry_beside(url))
    if problem:
        raise DamagedError(f"{url} is not a readable checkpoint ({problem})")
    try:
        check_weights(io.BytesIO(content))
    except ValueError as error:
        raise ConfigError(f"{url} was refused: {error}") from error
    try:
        loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        # The rest of what torch says is its advice to load the file all the same.
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f" (an object of {found[1][:80]})" if found else ""
        raise ConfigError(f"{url} was refused: it holds more than weights{what}, which is never run") from error
    except MemoryError:
        raise
    except Exception as error:  # a malformed file may fail in any way
        raise DamagedError(f"{url} is not a readable checkpoint ({first_line(error)})") from error
    if not isinstance(loaded, dict):
        raise ConfigError(f"{url} is not a checkpoint: it holds {type(loaded).__name__}")
    return loaded


def _listed(folder: str) -> list[SavedCheckpoint]:
    """Raises NotFoundError without a list, ConfigError for one that can't be used."""
    url = storage.join(folder, _LIST)
    record = storage.read_record(url)
    # Earlier versions named the newest one only.
    entries = record.get("checkpoints", [{"file": record.get("file")}])
    with suppress(TypeError):
        saved = [SavedCheckpoint(**entry) for entry in entries]
        if saved and all(map(_is_well_formed, saved)):
            return saved
    raise ConfigError(f"{url} does not name a checkpoint")


def _is_well_formed(saved: SavedCheckpoint) -> bool:
    return isinstance(saved.file, str) and isinstance(saved.bytes, int) and isinstance(saved.sha256, str)


def _entry_beside(url: str) -> SavedCheckpoint | None:
    """What the list in the same folder says of a file, if there is a list of ours."""
    if not _OF_A_RUN.fullmatch(storage.basename(url)):
        return None
    with suppress(DatascalerError):
        return next((each for each in _listed(storage.parent(url)) if each.file == storage.basename(url)), None)
    return None


def _damage(content: bytes, saved: SavedCheckpoint | None) -> str:
    """What is wrong with a file's bytes; empty where nothing is."""
    if saved and saved.sha256:
        if len(content) != saved.bytes:
            return f"it has {len(content):,} bytes, {saved.bytes:,} were saved"
        return "" if sha256(content).hexdigest() == saved.sha256 else "its bytes are not those that were saved"
    if not content.startswith(_ZIP):
        return ""
    # torch writes the checksums of a zip archive, and does not look at them.
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            require_no_bomb(archive, len(content))
            part = archive.testzip()
    except MemoryError:
        raise
    except Exception as error:  # a damaged archive may fail in any way
        return first_line(error)
    return f"its part {part} is damaged" if part else ""


def may_be_run_checkpoint(file: IO[bytes], url: str) -> bool:
    """Whether a file can be a checkpoint of a run: by its name, else by what its pickle names. It is not unpickled."""
    if _OF_A_RUN.fullmatch(storage.basename(url)):
        return True
    with suppress(zipfile.BadZipFile, NotImplementedError, ValueError), zipfile.ZipFile(file) as archive:
        require_no_bomb(archive, file.seek(0, os.SEEK_END))
        pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        return len(pickles) == 1 and all(each in archive.read(pickles[0]) for each in (b"spec", b"state_dict"))
    return False


def is_run_checkpoint(content: dict[str, Any]) -> bool:
    return "spec" in content and "state_dict" in content


def fresh_model(spec: TrainSpec) -> BuiltClip:
    """The model that a run starts from."""
    clip = build_clip(
        spec.model_arch,
        width_mult=spec.width_mult,
        min_width_mult=spec.min_width_mult,
        use_mup=spec.use_mup,
        seed=spec.seed,
        loss=spec.loss,
    )
    if spec.init_temperature:
        nn.init.constant_(clip.model.logit_scale, -math.log(spec.init_temperature))  # type: ignore[arg-type]
    return clip


def model_of_run(content: dict[str, Any]) -> BuiltClip:
    """The model of a checkpoint, with its weights, at its own width and parametrisation."""
    clip = fresh_model(TrainSpec.from_record(content["spec"]))
    clip.model.load_state_dict(content["state_dict"])
    return clip
