"""A network that costs less than its pictures' decoding leaves the loader its cores; any other computes as ever."""

from collections.abc import Iterator

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from datascaler.models.arch import reference_config
from datascaler.models.build import build_clip
from datascaler.models.compute_threads import compute_threads, flop_per_sample
from datascaler.tools.usable_cores import usable_cores

LIGHT, HEAVY = "ViT-Micro-12-48", "ViT-B-32"
CPU = torch.device("cpu")
THREADS = usable_cores() + 3


@pytest.fixture(autouse=True)
def many_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    yield
    torch.set_num_threads(before)


def threads_inside(arch: str, num_workers: int, device: torch.device = CPU) -> int:
    with compute_threads(reference_config(arch), num_workers, device):
        return torch.get_num_threads()


@pytest.mark.parametrize("num_workers", [1, usable_cores(), 100])
def test_a_light_network_leaves_the_loader_its_cores(num_workers: int) -> None:
    assert threads_inside(LIGHT, num_workers) == max(1, usable_cores() - num_workers)
    assert torch.get_num_threads() == THREADS


def test_others_compute_in_all_threads() -> None:
    assert threads_inside(HEAVY, 2) == THREADS
    assert threads_inside(LIGHT, 0) == THREADS  # this process decodes first, and then computes
    assert threads_inside(LIGHT, 2, torch.device("meta")) == THREADS


def test_who_asked_for_one_thread_has_one() -> None:
    torch.set_num_threads(1)
    assert threads_inside(LIGHT, 1) == 1


def test_they_are_as_before_after_an_error() -> None:
    with pytest.raises(RuntimeError, match="diverged"), compute_threads(reference_config(LIGHT), 2, CPU):
        raise RuntimeError("diverged")
    assert torch.get_num_threads() == THREADS


@pytest.mark.parametrize("arch", [LIGHT, HEAVY])
def test_the_operations_are_those_that_torch_counts(arch: str) -> None:
    """But for attention's products, patches and projections, which are a tenth or so."""
    clip = build_clip(arch)
    side, context = clip.config["vision_cfg"]["image_size"], clip.config["text_cfg"]["context_length"]
    with FlopCounterMode(display=False) as counter:
        image, text, _ = clip.model(torch.zeros(1, 3, side, side), torch.ones(1, context, dtype=torch.long))
        (image.sum() + text.sum()).backward()
    assert flop_per_sample(clip.config) == pytest.approx(counter.get_total_flops(), rel=0.15)
