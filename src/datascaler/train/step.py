"""One optimizer step on this process's part of a global batch. The host queues it, and reads later what came out."""

import math
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_, get_total_norm

from datascaler.errors import DivergedError
from datascaler.models.build import BuiltClip
from datascaler.models.device import Arriving, to_device, to_host
from datascaler.models.open_clip_parts import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from datascaler.models.optimizer import set_learning_rate
from datascaler.models.roles import ROLES
from datascaler.spec.train import TrainSpec
from datascaler.stop import stop_requested
from datascaler.train.distributed import World, gather_numbers, sum_numbers
from datascaler.train.encode import encoder
from datascaler.train.gradients import GradientSums
from datascaler.train.loading.batches import Batch
from datascaler.train.loss import backward_in_pieces, backward_whole, sigmoid_loss, softmax_loss

MAX_LOGIT_SCALE = math.log(100)
"""CLIP's clamp (arXiv 2103.00020, section 2.5)."""


@dataclass(frozen=True, slots=True)
class StartedStep:
    """A step that is queued; the same on every rank."""

    number: int
    lr: float
    substituted: int
    stop: bool
    """Whether any process was asked to stop."""
    _names: tuple[str, ...]
    _arriving: Arriving

    def figures(self) -> dict[str, float]:
        """`loss`, that of the global batch before the update, and what else was measured. Waits for the device."""
        (values,) = self._arriving.wait()
        return dict(zip(self._names, values.tolist(), strict=True))


class TrainStep:
    """Forward, backward, sum over ranks, update."""

    def __init__(self, spec: TrainSpec, clip: BuiltClip, optimizer: torch.optim.Optimizer, world: World) -> None:
        self._spec, self._model, self._optimizer, self._world = spec, clip.model, optimizer, world
        self._encode = encoder(clip.model, spec, world.device)
        self._sums = GradientSums(clip.model.parameters(), world)
        weights = [(clip.table[name].role, weight) for name, weight in clip.model.named_parameters()]
        self._of_role = {role: [weight for of, weight in weights if of == role] for role in ROLES}
        # The pixel statistics of OpenAI's CLIP, which DataComp trains with.
        self._mean, self._std = (
            torch.tensor(values, device=world.device).view(1, 3, 1, 1)
            for values in (OPENAI_DATASET_MEAN, OPENAI_DATASET_STD)
        )
        # 1 from the first loss on that is not finite. A fused optimizer looks there, on its device, before it updates.
        self._spoiled = torch.zeros((), device=world.device)
        if optimizer.defaults["fused"]:
            optimizer.found_inf = self._spoiled  # type: ignore[attr-defined]

    def __call__(self, batch: Batch, number: int, lr: float, *, measured: bool = False) -> StartedStep:
        """Queue step `number`. A measured one has the norms of gradients and weights among its figures."""
        counts = gather_numbers((batch.substituted, int(stop_requested())), self._world)
        substituted, stop = (sum(each) for each in zip(*counts, strict=True))
        loss = sum_numbers(self.backward(batch.images, batch.tokens, self._spec.batch_size), self._world)
        figures = {"loss": loss, **(self._measured() if measured else {})}
        if self._spec.grad_clip_norm:
            clip_grad_norm_(self._model.parameters(), self._spec.grad_clip_norm)
        self._spoiled.copy_(torch.maximum(self._spoiled, 1 - loss.isfinite().float()))
        set_learning_rate(self._optimizer, lr)
        self._optimizer.step()
        with torch.no_grad():
            self._logit_scale.clamp_(0, MAX_LOGIT_SCALE)
        arriving = to_host([torch.stack([figure.detach() for figure in figures.values()])])
        return StartedStep(number, lr, substituted, stop > 0, tuple(figures), arriving)

    def settle(self, started: StartedStep) -> None:
        """Wait for a step. Raises DivergedError where its loss is not finite; nothing was updated since then."""
        loss = started.figures()["loss"]
        if math.isfinite(loss):
            if started.number == self._spec.steps:  # no further step would meet what this one spoiled
                self._require_finite_weights("the last step left weights that are not finite")
            return
        self._require_finite_weights(f"the loss is {loss}, for the step before left weights that are not finite")
        raise DivergedError(
            f"the loss is {loss} at learning rate {started.lr:.3g}; nothing was updated: "
            "try a lower --lr or more --warmup"
        )

    def backward(self, images: Tensor, tokens: Tensor, global_batch: int) -> Tensor:
        """uint8 [n, 3, H, W], tokens [n, L] -> the rank's share of the loss; parameters get the summed gradients."""
        self._sums.clear()
        pixels = to_device(images, self._world.device).float() / 255
        pixels = (pixels - self._mean) / self._std
        loss = partial(self._share_of_loss, global_batch)
        piece = self._spec.device_batch_size
        if piece and len(images) > piece:
            share = backward_in_pieces(self._encode, loss, pixels, tokens, piece, self._sums.begin_last)
        else:
            share = backward_whole(self._encode, loss, pixels, tokens, self._sums.begin_last)
        self._sums.finish()
        return share

    def _require_finite_weights(self, problem: str) -> None:
        """All ranks have the same weights, so all find the same."""
        if not finite_weights(self._model):
            raise DivergedError(f"{problem}: try a lower --lr or more --warmup")

    def _share_of_loss(self, global_batch: int, image: Tensor, text: Tensor) -> Tensor:
        scale = self._logit_scale.exp()
        if self._spec.loss == "siglip":
            bias: Tensor = self._model.logit_bias  # type: ignore[assignment]
            return sigmoid_loss(image, text, scale, bias, global_batch, self._world)
        return softmax_loss(image, text, scale, global_batch, self._world)

    @property
    def _logit_scale(self) -> Tensor:
        """The logarithm, as CLIP stores it."""
        return self._model.logit_scale  # type: ignore[return-value]

    def _measured(self) -> dict[str, Tensor]:
        """The scale, the norms of the gradients, and the root mean squares of the weights that they are of."""
        used = {role: weights for role, weights in self._of_role.items() if weights}
        norms = {
            role: get_total_norm([each.grad for each in weights if each.grad is not None])
            for role, weights in used.items()
        }
        sizes = {role: sum(each.numel() for each in weights) for role, weights in used.items()}
        return {
            "logit_scale": self._logit_scale.exp(),
            "grad_norm": get_total_norm(list(norms.values())),
            **{f"grad_norm_{role}": norm for role, norm in norms.items()},
            **{f"weight_rms_{role}": get_total_norm(used[role]) / sizes[role] ** 0.5 for role in used},
        }


def finite_weights(model: torch.nn.Module) -> bool:
    """Whether no weight is NaN or infinite."""
    return all(bool(weight.isfinite().all()) for weight in model.parameters())
