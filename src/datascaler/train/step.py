"""One optimizer step on this process's part of a global batch."""

import math
from dataclasses import dataclass

import open_clip
import torch
from torch import Tensor

from datascaler.errors import DivergedError
from datascaler.models.optimizer import set_learning_rate
from datascaler.spec.train import TrainSpec
from datascaler.stop import stop_requested
from datascaler.train.distributed import World, sum_gradients, sum_numbers
from datascaler.train.loading.batches import Batch
from datascaler.train.loss import backward_in_pieces, backward_whole, encoder

MAX_LOGIT_SCALE = math.log(100)
"""CLIP's clamp (arXiv 2103.00020, section 2.5)."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """The same on every rank."""

    loss: float
    """The loss of the global batch, before the step."""
    substituted: int
    stop: bool
    """Whether any process was asked to stop."""


class TrainStep:
    """Forward, backward, sum over ranks, update."""

    def __init__(self, spec: TrainSpec, model: torch.nn.Module, optimizer: torch.optim.Optimizer, world: World) -> None:
        self._spec, self._model, self._optimizer, self._world = spec, model, optimizer, world
        self._encode = encoder(model, self._autocast)
        # The pixel statistics of OpenAI's CLIP, which DataComp trains with.
        self._mean, self._std = (
            torch.tensor(values, device=world.device).view(1, 3, 1, 1)
            for values in (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)
        )

    def __call__(self, batch: Batch, lr: float) -> StepResult:
        """Raises DivergedError before anything is updated if the loss is not finite."""
        self._optimizer.zero_grad()
        share = self.backward(batch.images, batch.tokens, self._spec.batch_size)
        totals = torch.tensor([share.item(), batch.substituted, stop_requested()], device=self._world.device)
        loss, substituted, stop = sum_numbers(totals, self._world).tolist()
        if not math.isfinite(loss):
            self.require_finite_weights(f"the loss is {loss}, for the step before left weights that are not finite")
            raise DivergedError(
                f"the loss is {loss} at learning rate {lr:.3g}; nothing was updated: try a lower --lr or more --warmup"
            )
        sum_gradients(self._model.parameters(), self._world)
        set_learning_rate(self._optimizer, lr)
        self._optimizer.step()
        with torch.no_grad():
            self._logit_scale.clamp_(0, MAX_LOGIT_SCALE)
        return StepResult(loss, int(substituted), stop > 0)

    def require_finite_weights(self, problem: str) -> None:
        """Raise DivergedError where a weight is NaN or infinite. All ranks have the same, so all find the same."""
        if not finite_weights(self._model):
            raise DivergedError(f"{problem}: try a lower --lr or more --warmup")

    def backward(self, images: Tensor, tokens: Tensor, global_batch: int) -> Tensor:
        """uint8 [n, 3, H, W], tokens [n, L] -> this rank's share of the loss; gradients are left on the parameters."""
        pixels = images.to(self._world.device, non_blocking=True).float() / 255
        pixels = (pixels - self._mean) / self._std
        tokens = tokens.to(self._world.device, non_blocking=True)
        piece = self._spec.device_batch_size
        if piece and len(images) > piece:
            return backward_in_pieces(self._encode, self._scale, pixels, tokens, global_batch, self._world, piece)
        return backward_whole(self._encode, self._scale, pixels, tokens, global_batch, self._world)

    @property
    def _logit_scale(self) -> Tensor:
        """The logarithm, as CLIP stores it."""
        return self._model.logit_scale  # type: ignore[return-value]

    def _scale(self) -> Tensor:
        return self._logit_scale.exp()

    def _autocast(self) -> torch.autocast:
        device = self._world.device.type
        has_bf16 = device == "cuda" and torch.cuda.is_bf16_supported()
        wanted = self._spec.precision == "bf16" or (self._spec.precision == "auto" and has_bf16)
        return torch.autocast(device, dtype=torch.bfloat16, enabled=wanted)


def finite_weights(model: torch.nn.Module) -> bool:
    """Whether no weight is NaN or infinite."""
    return all(bool(weight.isfinite().all()) for weight in model.parameters())
