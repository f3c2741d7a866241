"""Checkpoints: everything that the next step depends on, in one file that stock open_clip can load too.

state_dict     weights, under open_clip's names
optimizer      moments and groups
samples_seen   position of the schedule and of the data
substituted    samples replaced so far because they did not decode
rng            torch's CPU generator
spec           the run's spec, as in run.json
roles          hash of the parameter-role table
"""

from dataclasses import dataclass

import torch

from datascaler import storage
from datascaler.errors import ConfigError
from datascaler.models.build import BuiltClip
from datascaler.models.optimizer import load_optimizer_state
from datascaler.models.roles import table_hash
from datascaler.models.run_weights import newest_checkpoint, read_checkpoint
from datascaler.spec.train import TrainSpec

KEEP_NEWEST = 2


@dataclass(slots=True)
class Progress:
    samples_seen: int = 0
    substituted: int = 0


class Checkpoints:
    """The checkpoints of a run, and the state that goes into them."""

    def __init__(self, run_url: str, spec: TrainSpec, clip: BuiltClip, optimizer: torch.optim.Optimizer) -> None:
        self._folder = storage.join(run_url, "checkpoints")
        self._spec, self._model, self._optimizer = spec, clip.model, optimizer
        self._roles = table_hash(clip.table)

    def save(self, step: int, at: Progress) -> str:
        """Publish the checkpoint, then the pointer to it, then drop all but the newest. Returns its URL."""
        content = {
            "state_dict": self._model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "samples_seen": at.samples_seen,
            "substituted": at.substituted,
            "rng": torch.get_rng_state(),
            "spec": self._spec.record(),
            "roles": self._roles,
        }
        name = f"step_{step:08d}.pt"
        with storage.publish(storage.join(self._folder, name)) as file:
            torch.save(content, file)
        pointer = {"file": name, "step": step, "samples_seen": at.samples_seen}
        storage.publish_json(storage.join(self._folder, "latest.json"), pointer)
        for old in storage.list_files(self._folder, ".pt")[:-KEEP_NEWEST]:
            storage.remove(old.url)
        return storage.join(self._folder, name)

    def newest(self) -> str:
        """URL of the newest checkpoint; there is one once a run has finished its steps."""
        url = newest_checkpoint(storage.parent(self._folder))
        assert url is not None, "a run that took all its steps has saved the last one"
        return url

    def restore(self, url: str | None) -> Progress:
        """Put a checkpoint's state into the freshly built run; a run without one starts at zero."""
        if url is None:
            return Progress()
        content = read_checkpoint(url)
        if content.get("roles") != self._roles:
            raise ConfigError(f"{url} was made with another width, base width or parametrisation")
        # The order matters: weights first, then the moments that belong to them, then the generator they left behind.
        self._model.load_state_dict(content["state_dict"])
        load_optimizer_state(self._optimizer, content["optimizer"])
        torch.set_rng_state(content["rng"])
        return Progress(content["samples_seen"], content["substituted"])
