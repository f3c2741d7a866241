"""Checkpoints: everything that the next step depends on, in one file.

Stock open_clip reads the weights too. They mean the same there under the standard parametrisation, and under muP at its
base width only: a wider muP model has another attention, which no weights tell. `load_clip` has it from `spec`.

state_dict     weights, under open_clip's names
optimizer      moments and groups
samples_seen   position of the schedule and of the data
substituted    draws so far whose sample could not be read or decoded, so that another stood in
rng            torch's CPU generator
spec           the run's spec, as in run.json
roles          hash of the parameter-role table
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import IO, Any, cast

import torch

from datascaler import storage
from datascaler.data.runs.run_folder import run_url
from datascaler.errors import ConfigError, DamagedError, NotFoundError
from datascaler.models.build import BuiltClip
from datascaler.models.optimizer import load_optimizer_state
from datascaler.models.roles import table_hash
from datascaler.models.run_weights import (
    SavedCheckpoint,
    checkpoint_url,
    publish_list,
    read_checkpoint,
    run_files,
    sound_checkpoints,
    step_of_file,
)
from datascaler.spec.train import TrainSpec
from datascaler.train.step import finite_weights

KEEP_NEWEST = 2


@dataclass(slots=True)
class Progress:
    samples_seen: int = 0
    substituted: int = 0


class Checkpoints:
    """The checkpoints of a run, and the state that goes into them."""

    def __init__(self, run: str, spec: TrainSpec, clip: BuiltClip, optimizer: torch.optim.Optimizer) -> None:
        self._run, self._folder = run, storage.join(run, "checkpoints")
        self._spec, self._model, self._optimizer = spec, clip.model, optimizer
        self._roles = table_hash(clip.table)
        self._saved: list[SavedCheckpoint] = []
        """The sound ones, newest first; rank 0 alone knows them."""
        self._read: dict[str, Any] | None = None
        """What the newest holds, between finding and restoring it."""

    def find(self, say: Callable[[str], None] = lambda _: None) -> str | None:
        """URL of the newest sound checkpoint, for all to restore; rank 0 alone looks. None for a run that begins.

        `say` is told of newer ones that are damaged.
        """
        # Nobody else saves into this run: what is unfinished is of a process that was killed.
        for folder in (self._run, self._folder):
            storage.remove_unfinished(folder)
        found = sound_checkpoints(self._run, say)
        if found is None:
            return None
        self._saved, self._read = found
        return self.newest()

    def find_trunk(self, shorter: Sequence[TrainSpec], say: Callable[[str], None] = lambda _: None) -> str | None:
        """URL of the checkpoint with which the longest of shorter runs cooled down, as `find` does for this run's own.

        None where none of them has a sound one, so that this run computes its trunk itself.
        """
        for run in reversed(shorter):
            url = checkpoint_url(run_url(run), run.trunk_steps)
            try:
                self._read = read_checkpoint(url)
            except NotFoundError:
                continue
            except DamagedError as error:
                say(f"damaged   {error}; this run does not start from it")
                continue
            say(f"trunk     from {url}")
            return url
        return None

    def newest(self) -> str:
        """URL of the newest checkpoint, on rank 0; there is one once a run has finished its steps."""
        return storage.join(self._folder, self._saved[0].file)

    def restore(self, url: str | None) -> Progress:
        """Put a checkpoint's state into the freshly built run; a run without one starts at zero."""
        if url is None:
            return Progress()
        content, self._read = self._read or read_checkpoint(url), None
        if content.get("roles") != self._roles:
            raise ConfigError(f"{url} was made with another width, base width or parametrisation")
        # The order matters: weights first, then the moments that belong to them, then the generator they left behind.
        self._model.load_state_dict(content["state_dict"])
        load_optimizer_state(self._optimizer, content["optimizer"])
        torch.set_rng_state(content["rng"])
        return Progress(content["samples_seen"], content["substituted"])

    def are_finite(self) -> bool:
        """Whether what would be saved has no weight that is NaN or infinite."""
        return finite_weights(self._model)

    def save(self, step: int, at: Progress) -> str:
        """Publish the checkpoint, then the list of those to keep, then drop the others. Returns its URL."""
        content = {
            "state_dict": self._model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "samples_seen": at.samples_seen,
            "substituted": at.substituted,
            "rng": torch.get_rng_state(),
            "spec": self._spec.record(),
            "roles": self._roles,
        }
        url = checkpoint_url(self._run, step)
        name = storage.basename(url)
        with storage.publish(url) as file:
            summed = _Summed(file)
            torch.save(content, cast(IO[bytes], summed))
        before = [each for each in self._saved if each.file != name]
        saved = [SavedCheckpoint(name, summed.bytes, summed.sha256.hexdigest()), *before]
        self._saved = [each for place, each in enumerate(saved) if place < KEEP_NEWEST or self._stays(each)]
        publish_list(self._folder, self._saved, step, at.samples_seen)
        kept = {each.file for each in self._saved}
        for url in run_files(self._folder):
            # Not by age or name: after a damaged checkpoint, a run saves under names older than that one's.
            if storage.basename(url) not in kept:
                storage.remove(url)
        return self.newest()

    def _stays(self, saved: SavedCheckpoint) -> bool:
        """Whether it is kept for good."""
        step, every = step_of_file(saved.file), self._spec.keep_every
        # Longer runs branch off at the trunk's end.
        return self._spec.keep_all or (every > 0 and step % every == 0) or step == self._spec.trunk_steps


class _Summed:
    """A file to write, whose digest is taken on the way: a checkpoint is large, and is not read again for it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.sha256, self.bytes = sha256(), 0

    def write(self, content: bytes) -> int:
        self.sha256.update(content)
        self.bytes += len(content)
        return self._file.write(content)

    def flush(self) -> None:
        self._file.flush()
