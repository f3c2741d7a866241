"""The loss over several processes against open_clip's on the whole batch."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from open_clip.loss import ClipLoss, SigLipLoss
from torch import Tensor, nn

from datascaler.errors import ConfigError
from datascaler.spec.train import LossName
from datascaler.train.distributed import World, gather_rows, on_main
from datascaler.train.gradients import GradientSums
from datascaler.train.loss import backward_in_pieces, backward_whole, sigmoid_loss, softmax_loss

BATCH, PIXELS, TOKENS, WIDTH = 11, 5, 7, 6
CPU = torch.device("cpu")
ALONE = World(rank=0, size=1, device=CPU)

Gradients = dict[str, Tensor]

KINDS_AND_PIECES: list[tuple[LossName, int]] = [(kind, piece) for kind in get_args(LossName) for piece in (0, 2)]


class TwoTowers(nn.Module):
    """A linear map for each side, CLIP's logarithm of the scale, and SigLIP's bias."""

    def __init__(self, loss: LossName) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.image = nn.Parameter(torch.randn(PIXELS, WIDTH, generator=generator, dtype=torch.float64))
        self.text = nn.Parameter(torch.randn(TOKENS, WIDTH, generator=generator, dtype=torch.float64))
        self.logit_scale = nn.Parameter(torch.tensor(1.7, dtype=torch.float64))
        if loss == "siglip":
            self.logit_bias = nn.Parameter(torch.tensor(-2.3, dtype=torch.float64))

    def encode(self, images: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        return (
            nn.functional.normalize(torch.tanh(images @ self.image), dim=-1),
            nn.functional.normalize(torch.tanh(tokens @ self.text), dim=-1),
        )

    def scale(self) -> Tensor:
        return self.logit_scale.exp()

    def gradients(self) -> Gradients:
        return {name: parameter.grad for name, parameter in self.named_parameters() if parameter.grad is not None}


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return tuple(torch.randn(BATCH, size, generator=generator, dtype=torch.float64) for size in (PIXELS, TOKENS))  # type: ignore[return-value]


def expected(kind: LossName) -> tuple[float, Gradients]:
    """open_clip's loss of the whole batch, and its gradients."""
    model = TwoTowers(kind)
    features = model.encode(*batch())
    loss = ClipLoss()(*features, model.scale()) if kind == "clip" else stock_siglip(model, *features)
    loss.backward()
    return loss.item(), model.gradients()


def stock_siglip(model: TwoTowers, image: Tensor, text: Tensor) -> Tensor:
    loss: Tensor = SigLipLoss()(image, text, model.scale(), model.logit_bias)
    return loss


def assert_equal(kind: LossName, loss: float, gradients: Gradients) -> None:
    wanted, wanted_gradients = expected(kind)
    assert loss == pytest.approx(wanted, abs=1e-12)
    assert gradients.keys() == wanted_gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, wanted_gradients[name], atol=1e-12, rtol=1e-9)


@pytest.mark.parametrize("kind", get_args(LossName))
@pytest.mark.parametrize("piece", [0, 1, 4, BATCH, 2 * BATCH])
def test_one_process(piece: int, kind: LossName) -> None:
    model = TwoTowers(kind)
    assert_equal(kind, float(backward(model, *batch(), ALONE, piece)), model.gradients())


def backward(model: TwoTowers, images: Tensor, tokens: Tensor, world: World, piece: int) -> Tensor:
    def loss(image: Tensor, text: Tensor) -> Tensor:
        if hasattr(model, "logit_bias"):
            return sigmoid_loss(image, text, model.scale(), model.logit_bias, BATCH, world)
        return softmax_loss(image, text, model.scale(), BATCH, world)

    sums = GradientSums(model.parameters(), world)
    sums.clear()
    if piece:
        share = backward_in_pieces(model.encode, loss, images, tokens, piece, sums.begin_last)
    else:
        share = backward_whole(model.encode, loss, images, tokens, sums.begin_last)
    sums.finish()
    return share


@dataclass(frozen=True)
class Result:
    """What one rank saw."""

    losses: dict[tuple[LossName, int], Tensor]
    """Kind and piece -> share of the loss."""
    gradients: dict[tuple[LossName, int], Gradients]
    gathered: Tensor
    error: str


@pytest.mark.parametrize("parts", [(4, 7), (1, 10), (5, 3, 3), (6, 0, 5)], ids=str)
def test_several_processes_with_uneven_parts(parts: tuple[int, ...], tmp_path: Path) -> None:
    results = [Result(**each) for each in run_ranks(rank_of_loss_test, parts, tmp_path)]
    for kind, piece in KINDS_AND_PIECES:
        total = sum(float(result.losses[kind, piece]) for result in results)
        for result in results:
            # Every rank holds the sum: no averaging, and none has to add anything.
            assert_equal(kind, total, result.gradients[kind, piece])
    for result in results:
        assert result.gathered.tolist() == list(range(BATCH))
        assert result.error == "only rank 0 saw this"


def rank_of_loss_test(rank: int, parts: tuple[int, ...], folder: str) -> None:
    world = World(rank=rank, size=len(parts), device=CPU)
    first = sum(parts[:rank])
    images, tokens = (each[first : first + parts[rank]] for each in batch())
    losses, gradients = {}, {}
    for kind, piece in KINDS_AND_PIECES:
        model = TwoTowers(kind)
        losses[kind, piece] = backward(model, images, tokens, world, piece)
        gradients[kind, piece] = model.gradients()
    rows = torch.arange(BATCH)[first : first + parts[rank]].unsqueeze(1)
    gathered, start = gather_rows(rows.double(), world)
    assert start == first
    assert on_main(lambda: ["rank 0", rank], world) == ["rank 0", 0]
    error = ""
    try:
        on_main(functools.partial(fail_on, rank), world)
    except ConfigError as raised:
        error = str(raised)
    content = {"losses": losses, "gradients": gradients, "gathered": gathered.squeeze(1), "error": error}
    torch.save(content, f"{folder}/{rank}.pt")


def fail_on(rank: int) -> None:
    raise ConfigError(f"only rank {rank} saw this")


def run_ranks(work: Callable[..., None], parts: tuple[int, ...], folder: Path) -> list[dict[str, Any]]:
    """`work` in as many processes as there are parts, in one gloo group; what each saved."""
    # A fork server that has this module imported starts a rank in no time; it is made for this test only.
    context = mp.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    arguments = (work, parts, str(folder))
    processes = [context.Process(target=_run_rank, args=(rank, *arguments)) for rank in range(len(parts))]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * len(parts)
    return [torch.load(folder / f"{rank}.pt") for rank in range(len(parts))]


def _run_rank(rank: int, work: Callable[..., None], parts: tuple[int, ...], folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/group", rank=rank, world_size=len(parts))
    work(rank, parts, folder)
    dist.barrier()
    dist.destroy_process_group()
