"""The step against open_clip's own, at any number of processes, and that nothing in it waits for the device."""

import math
from argparse import Namespace
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from open_clip.loss import ClipLoss
from open_clip_train.scheduler import cosine_lr  # type: ignore[import-untyped]
from open_clip_train.train import train_one_epoch  # type: ignore[import-untyped]
from torch import Tensor

from datascaler.errors import DivergedError
from datascaler.models.build import BuiltClip
from datascaler.models.optimizer import build_optimizer
from datascaler.models.run_weights import fresh_model
from datascaler.spec.train import TrainSpec
from datascaler.train import gradients as gradients_module
from datascaler.train import step as step_module
from datascaler.train.distributed import World, sum_numbers
from datascaler.train.loading.batches import Batch
from datascaler.train.schedule import cosine_rate
from datascaler.train.step import TrainStep
from tests.train.runs import tiny_spec
from tests.train.test_loss import ALONE, run_ranks

END_TOKEN = 49407


def made(spec: TrainSpec, world: World = ALONE) -> tuple[BuiltClip, torch.optim.Optimizer, TrainStep]:
    clip = fresh_model(spec)
    clip.model.to(world.device)
    betas = (spec.beta1, spec.beta2)
    optimizer = build_optimizer(
        clip.model, clip.table, lr=spec.lr, weight_decay=spec.weight_decay, betas=betas, eps=spec.eps
    )
    return clip, optimizer, TrainStep(spec, clip, optimizer, world)


def spec_of_step(**changes: Any) -> TrainSpec:
    return tiny_spec("pool", "out", **changes)


def batch_of(size: int, seed: int = 0) -> Batch:
    """Captions of all lengths."""
    draw = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (size, 3, 48, 48), generator=draw, dtype=torch.uint8)
    tokens = torch.randint(1, END_TOKEN, (size, 16), generator=draw)
    ends = torch.randint(1, 16, (size, 1), generator=draw)
    tokens.scatter_(1, ends, END_TOKEN)
    return Batch(images, tokens.masked_fill(torch.arange(16) > ends, 0), [])


def as_stock(images: Tensor) -> Tensor:
    """As open_clip's transform ends."""
    mean, std = (
        torch.tensor(each).view(3, 1, 1) for each in (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)
    )
    return (images.float() / 255 - mean) / std


def stock_model(clip: BuiltClip) -> torch.nn.Module:
    model: torch.nn.Module = open_clip.CLIP(**clip.config, output_dict=True)
    model.load_state_dict(clip.model.state_dict())
    return model


class StockLoss(ClipLoss):  # type: ignore[misc]
    """open_clip's, which remembers."""

    def __init__(self) -> None:
        super().__init__()
        self.losses: list[float] = []

    def forward(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        found: dict[str, Tensor] = super().forward(*args, **kwargs)
        self.losses.append(found["contrastive_loss"].item())
        return found


class StockLoader(list[tuple[Tensor, Tensor]]):
    @property
    def num_batches(self) -> int:
        return len(self)

    @property
    def num_samples(self) -> int:
        return len(self) * 12


@pytest.mark.parametrize(("steps", "grad_clip_norm"), [(50, 0.0), (8, 0.5)])
def test_fifty_steps_follow_open_clips_own_trainer(steps: int, grad_clip_norm: float) -> None:
    """Its loop, loss, model, optimizer groups and schedule."""
    spec = spec_of_step(train_num_samples=steps * 12, warmup_steps=5, grad_clip_norm=grad_clip_norm)
    clip, _, step = made(spec)
    stock, loss = stock_model(clip), StockLoss()
    batches = [batch_of(12, seed) for seed in range(steps)]
    named = list(stock.named_parameters())
    plain = [p for n, p in named if p.ndim < 2 or any(word in n for word in ("bn", "ln", "bias", "logit_scale"))]
    decayed = [p for _, p in named if not any(p is other for other in plain)]
    groups = [{"params": plain, "weight_decay": 0.0}, {"params": decayed, "weight_decay": spec.weight_decay}]
    optimizer = torch.optim.AdamW(groups, lr=spec.lr, betas=(spec.beta1, spec.beta2), eps=spec.eps)
    loader = StockLoader((as_stock(batch.images), batch.tokens) for batch in batches)
    args = Namespace(
        device="cpu", precision="fp32", accum_freq=1, distill=False, skip_scheduler=False, horovod=False, rank=0,
        grad_clip_norm=grad_clip_norm or None, world_size=1, log_every_n_steps=50, batch_size=12, wandb=False,
    )  # fmt: skip
    data = {"train": Namespace(set_epoch=lambda _: None, dataloader=loader)}
    train_one_epoch(stock, data, loss, 0, optimizer, None, cosine_lr(optimizer, spec.lr, 5, steps), None, args)

    ours = []
    for number, batch in enumerate(batches, start=1):
        lr = cosine_rate(spec.lr, (number - 1) * 12, 12, 5, steps * 12)
        ours.append(step(batch, number, lr).figures()["loss"])
    assert ours == pytest.approx(loss.losses, abs=1e-5)
    assert loss.losses[-1] < loss.losses[0]


@pytest.mark.parametrize("piece", [0, 5])
def test_at_its_base_width_mups_step_is_the_standard_one_bit_for_bit(piece: int) -> None:
    """With the same eps, which open_clip's is."""
    weights, moments = [], []
    for use_mup in (False, True):
        clip, optimizer, step = made(spec_of_step(use_mup=use_mup, device_batch_size=piece))
        for number in (1, 2, 3):
            step(batch_of(12, number), number, 1e-3)
        weights.append(clip.model.state_dict())
        moments.append(optimizer.state_dict())
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    for number, slots in moments[0]["state"].items():
        assert all(torch.equal(value, moments[1]["state"][number][name]) for name, value in slots.items())
    assert [group["eps"] for group in moments[0]["param_groups"]] == [1e-6] * len(moments[0]["param_groups"])


@pytest.mark.parametrize("changes", [{}, {"device_batch_size": 5}, {"grad_clip_norm": 1.0}, {"use_mup": True}], ids=str)
def test_nothing_in_a_step_waits_for_the_device(changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """On the meta device what asks for a number raises. What a step sends to the host is read later."""
    monkeypatch.setattr(step_module, "to_host", lambda _: None)
    _, _, step = made(spec_of_step(**changes), replace(ALONE, device=torch.device("meta")))
    step(batch_of(12), 1, 1e-3, measured=True)


def test_after_a_loss_that_is_not_finite_nothing_is_updated() -> None:
    clip, optimizer, step = made(spec_of_step())
    step(batch_of(12), 1, 1e-3)
    proj = clip.model.get_parameter("visual.proj")
    good = proj.detach().clone()
    with torch.no_grad():
        proj.fill_(math.nan)
    spoiled = step(batch_of(12), 2, 1e-3)
    with torch.no_grad():
        proj.copy_(good)
    before = {name: value.clone() for name, value in clip.model.state_dict().items()}
    # The device was given the next step before anybody looked.
    after = step(batch_of(12), 3, 1e-3)
    assert math.isfinite(after.figures()["loss"])
    assert all(torch.equal(value, before[name]) for name, value in clip.model.state_dict().items())
    assert {float(slots["step"]) for slots in optimizer.state.values()} == {1.0}
    with pytest.raises(DivergedError, match=r"the loss is nan at learning rate 0\.001; nothing was updated"):
        step.settle(spoiled)


def test_what_is_measured() -> None:
    clip, _, step = made(spec_of_step(width_mult=Fraction(1, 2), use_mup=True))
    figures = step(batch_of(12), 1, 0.0, measured=True).figures()
    of_role: dict[str, list[torch.nn.Parameter]] = {}
    for name, weight in clip.model.named_parameters():
        of_role.setdefault(clip.table[name].role, []).append(weight)
    gradients = {role: torch.cat([each.grad.flatten() for each in weights]) for role, weights in of_role.items()}  # type: ignore[union-attr]
    wanted = {"logit_scale": 1 / 0.07, "grad_norm": float(torch.cat(list(gradients.values())).norm())}
    wanted |= {f"grad_norm_{role}": float(gradient.norm()) for role, gradient in gradients.items()}
    for role, weights in of_role.items():
        wanted[f"weight_rms_{role}"] = float(
            torch.cat([each.detach().flatten() for each in weights]).square().mean().sqrt()
        )
    assert {name: value for name, value in figures.items() if name != "loss"} == pytest.approx(wanted, rel=1e-4)


# ---- several processes -----------------------------------------------------------------------------------------

LARGE = 128


@pytest.mark.parametrize("parts", [(128,), (64, 64), (60, 50, 18), (32, 32, 32, 32)], ids=str)
def test_gradients_do_not_depend_on_processes_nor_on_pieces(parts: tuple[int, ...], tmp_path: Path) -> None:
    """128 samples, whole and in pieces of 32, summed during the backward pass; stock open_clip on one process."""
    clip, _, _ = made(large_spec(0))
    stock, batch = stock_model(clip), batch_of(LARGE)
    loss = ClipLoss()(**stock(as_stock(batch.images), batch.tokens))
    loss.backward()
    wanted = {name: weight.grad for name, weight in stock.named_parameters() if weight.grad is not None}
    for result in run_ranks(rank_of_step_test, parts, tmp_path):
        for piece, found in result.items():
            assert found["loss"] == pytest.approx(loss.item(), abs=1e-5)
            assert found["early"] > 1 or len(parts) == 1
            assert found["gradients"].keys() == wanted.keys()
            for name, gradient in found["gradients"].items():
                largest = float(wanted[name].abs().max())
                assert float((gradient - wanted[name]).abs().max()) <= 1e-5 * max(largest, 1e-2), (piece, name)


def rank_of_step_test(rank: int, parts: tuple[int, ...], folder: str) -> None:
    gradients_module._BUCKET_ELEMENTS = 5_000
    world, batch = World(rank=rank, size=len(parts), device=torch.device("cpu")), batch_of(LARGE)
    own = slice(sum(parts[:rank]), sum(parts[: rank + 1]))
    results = {}
    for piece in (0, 32):
        clip, _, step = made(large_spec(piece), world)
        early = note_sums_before_the_end(step)
        share = step.backward(batch.images[own], batch.tokens[own], LARGE)
        gradients = {name: weight.grad.clone() for name, weight in clip.model.named_parameters()}  # type: ignore[union-attr]
        results[piece] = {"loss": float(sum_numbers(share, world)), "gradients": gradients, "early": early[0]}
    torch.save(results, f"{folder}/{rank}.pt")


def note_sums_before_the_end(step: TrainStep) -> list[int]:
    """How many sums were under way when each backward pass was over."""
    noted: list[int] = []
    sums = step._sums
    finish = sums.finish

    def noting() -> None:
        noted.append(sums._sent)
        finish()

    sums.finish = noting  # type: ignore[method-assign]
    return noted


def large_spec(piece: int) -> TrainSpec:
    return spec_of_step(
        model_arch="ViT-Micro-12-48", batch_size=LARGE, train_num_samples=LARGE, device_batch_size=piece
    )


# ---- precision, memory -----------------------------------------------------------------------------------------


def test_bf16_keeps_weights_and_moments_in_fp32() -> None:
    exact, rounded = (made(spec_of_step(precision=precision)) for precision in ("fp32", "bf16"))
    losses = [step(batch_of(12), 1, 1e-3).figures()["loss"] for _, _, step in (exact, rounded)]
    assert losses[0] != losses[1] == pytest.approx(losses[0], rel=0.02)
    clip, optimizer, _ = rounded
    kept = [*clip.model.parameters(), *(value for slots in optimizer.state.values() for value in slots.values())]
    assert {each.dtype for each in kept} == {torch.float32}


def test_checkpointed_activations_change_no_bit() -> None:
    models = []
    for grad_checkpointing in (False, True):
        clip, _, step = made(spec_of_step(use_mup=True, grad_checkpointing=grad_checkpointing))
        step(batch_of(12), 1, 1e-3)
        models.append(clip.model.state_dict())
    assert all(torch.equal(value, models[1][name]) for name, value in models[0].items())


def test_siglip_starts_from_its_own_scalars_and_learns() -> None:
    clip, _, step = made(spec_of_step(loss="siglip"))
    scalars = clip.model.get_parameter("logit_scale"), clip.model.get_parameter("logit_bias")
    assert [float(each.detach()) for each in scalars] == pytest.approx([math.log(10), -10.0])
    losses = [step(batch_of(12), number, 1e-3).figures()["loss"] for number in range(1, 6)]
    assert losses[-1] < losses[0]
